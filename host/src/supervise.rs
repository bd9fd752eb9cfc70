//! Starts the tasks, watches them, and drains them in flow order.
