"""What a reader sees: the table in its three forms, plots, the page.

Modules: `table`, `released_table`, `cells` (what its cells say), `markdown`, `page` (the
report), `sections` (its parts), `rules` (which rule accepts which port), `cross_section` (where
labels flip), `findings` (what each plot shows, in words, too), `plots` (drawing), `pictures`
(embedded).
"""
