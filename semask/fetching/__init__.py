"""Files from elsewhere: transferred, checked by digest, pin or signature, unpacked safely.

Modules: `fetch` (one file, whole and right), `download` (a data set's archives), `archives`
(unpacking), `signatures` (by SSH keys), `transfer` (one file over HTTP), `pins` (the lock file),
`cityscapes_site` (the login).
"""
