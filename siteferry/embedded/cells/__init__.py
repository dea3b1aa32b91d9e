"""The launcher of the clones' cells: holds their sockets, starts them when somebody comes, stops them when nobody does.

It runs as one small process of `siteferry up` and never reads what a site wrote: it starts processes inside a clone's
walls (`sandbox`), tells them apart from the outside (`cell`), and passes answers of the agent on (`control`).
"""
