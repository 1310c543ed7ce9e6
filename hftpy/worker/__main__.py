"""A service's process: ``python -m hftpy.worker CONFIG SECTION``."""

import logging
import sys
from pathlib import Path

from hftpy.common.log import configure_logging
from hftpy.errors import ConfigError
from hftpy.service import load_config, run_service

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Run one section of a config; returns the exit status."""
    configure_logging()
    path, section = arguments
    try:
        configs = [config for config in load_config(Path(path)) if config.section == section]
        if not configs:
            raise ConfigError(f"config {path} has no section {section!r}")
    except ConfigError as error:
        log.error("%s", error)
        return 2
    return run_service(configs[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
