"""The job engine behind `shared.engine.worker`: what keeps a job alive, in order, within limits and never run twice."""
