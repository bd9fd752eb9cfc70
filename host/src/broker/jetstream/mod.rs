mod config;
mod subject;

pub use config::Config;
pub use subject::Subjects;
