"""Files from elsewhere: transferred, checked by digest or pinned, unpacked safely.

Modules: `fetch` (one file, whole and right), `download` (a data set's archives), `archives`
(unpacking), `transfer` (one file over HTTP), `pins` (the lock file), `cityscapes_site` (the login).
"""
