//! What a site's people and programs see: metrics with their alerts and their dashboard, live events, the page.

mod rules;
mod readers;
mod tap;
mod ws;
mod console;
mod browser;
