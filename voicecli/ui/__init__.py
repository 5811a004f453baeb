"""The user's side: the screen of a talk, its keys, and the lines for pipes and scripts.

`clean`, `meters`, `cells`, `view`, `block` and `controls` are pure; `keys`, `terminal`, `screen`
and `lines` are the edges. Only `view` and what it is drawn with import rich: a talk that prints
lines does without.
"""
