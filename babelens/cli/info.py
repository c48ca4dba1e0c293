"""babelens info: versions, devices and folders."""

import typer


def info() -> None:
    """Print versions, devices and cache folders."""
    import os
    import platform
    from importlib.metadata import version

    import torch
    from huggingface_hub.constants import HF_HUB_CACHE

    from babelens.data import cache_folder

    rows = [
        ("python", platform.python_version()),
        *((name, version(name)) for name in ("babelens", "torch", "transformers", "accelerate", "pyarrow")),
        ("machine", f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"),
        ("devices", ", ".join(_devices())),
        ("parsed corpora", str(cache_folder())),
        ("hub cache", HF_HUB_CACHE),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {value}")


def _devices() -> list[str]:
    import torch

    bf16 = torch.cpu._is_avx512_bf16_supported()  # pyright: ignore[reportAttributeAccessIssue]
    found = [f"cpu ({'with' if bf16 else 'without'} bf16)"]
    found += [f"cuda:{n} {torch.cuda.get_device_name(n)}" for n in range(torch.cuda.device_count())]
    return found
