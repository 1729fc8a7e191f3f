"""Work off the event loop: threads, and jobs whose progress somebody follows."""
