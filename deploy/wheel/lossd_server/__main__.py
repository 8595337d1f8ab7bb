"""`python -m lossd_server` is the command lossd."""

from lossd_server.commands import lossd

lossd()
