//! Every test that needs more than one module of the host.
