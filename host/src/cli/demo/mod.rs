//! `aurora demo`: the whole way of an event on one screen, with nothing set up before.

pub mod brokers;
