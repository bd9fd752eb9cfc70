//! Connections to brokers. Nothing outside this folder opens one.

pub mod mqtt;
pub mod redis_streams;
pub mod jetstream;
