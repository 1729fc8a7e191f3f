"""``maquette models``: versions of networks, from publishing one to retiring it."""

from __future__ import annotations

import typer

from maquette.cli import reembedding
from maquette.cli.models import changing, gating, looking

HELP = """Publish versions of networks, gate them, promote them and roll back, while renders go on.

A version never changes once it is there. Three names point at versions of each network: the
champion makes renders, the candidate waits for its gate, the previous one is what a roll-back
returns to. A new UNet takes three commands:

  maquette models publish unet FOLDER   checks it and makes it the candidate

  maquette models gate unet             paints the golden set with it and the champion

  maquette models promote unet          makes it the champion, if it passed

and `maquette models rollback unet` takes that back within seconds. MODEL is one of the networks
that paint, or clip for the pair that finds styles.

Ends with 0 when it is done, 1 when it failed, 2 for a wrong option, 3 when it was refused (a bad
engine, a gate that was not passed), 4 when somebody else changes versions at the same time.
"""

app = typer.Typer(help=HELP, no_args_is_help=True)
app.command("list")(looking.list_versions)
app.command()(looking.show)
app.command()(looking.diff)
app.command()(changing.publish)
app.command()(gating.gate)
app.command()(changing.promote)
app.command()(changing.rollback)
app.command()(changing.retire)
app.command("canary")(changing.set_canary)
app.command("history")(looking.show_history)
app.command()(reembedding.reembed)
app.command()(changing.upload)
