//! What a site's people and programs see: metrics with their alerts and their dashboard.

mod rules;
mod readers;
