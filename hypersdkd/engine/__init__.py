"""Order and time: plugins, configuration, queue, scheduler, journal, pipeline."""
