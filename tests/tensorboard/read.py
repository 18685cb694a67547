"""Prints what TensorBoard reads below a folder, as JSON: runs, their tags, and [step, value] of each point."""

import json
import sys

from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

# Of each tag all points, none left out.
multiplexer = EventMultiplexer(size_guidance={"scalars": 0, "tensors": 0})
multiplexer.AddRunsFromDirectory(sys.argv[1])
multiplexer.Reload()
runs = {
    run: {
        tag: [[event.step, event.value] for event in multiplexer.Scalars(run, tag)]
        for tag in tags["scalars"]
    }
    for run, tags in multiplexer.Runs().items()
}
print(json.dumps(runs))
