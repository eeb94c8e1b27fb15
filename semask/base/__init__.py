"""What every part uses and nothing else: errors, files, signals, records and where they come from.

Modules: `errors` (and where a script's last words go), `files` (atomic writing, digests, JSON),
`signals` (asked to leave), `startup` (less time to start), `schema_faults` (a JSON schema's
complaint in one line), `provenance` (code, machine, command), `records`, `record_schemas` and
`schema_parts` (the JSON files that stages leave behind), `row_names` (folder and name of a row),
`zip_damage` (what zipfile raises), `processes` (work side by side, what a program prints), `memory`
(taken, given back), `compat` (timm beside a torchvision of another build), `language` (of the user:
what it must not decide).
"""
