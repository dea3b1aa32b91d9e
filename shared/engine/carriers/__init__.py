"""Carriers: processes that read what a site sent, one or two for each job, so that the worker never does.

    worker  pool, carrier, forks, watch      lease, checkpoint, vault and bus; checks all a carrier says
       |    messages, memory, errors         what crosses the pipe
    carrier inside, confine, landlock, seccomp, server       no bus, no vault, no environment; its job's folders

`JobContext.confined(recipe, function, …)` is all that a workflow needs of it.
"""
