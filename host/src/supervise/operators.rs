//! Where operators look, and where they ask for something: health, metrics, guests, devices and the page over HTTP.

use std::sync::Arc;

use tokio::{net::TcpListener, task::JoinHandle};

use super::base::Base;
use crate::{
    admin::{self, Liveness},
    console::{self, About},
    lag::Seen,
};

/// The task that answers them, and what is told to it as the parts come up.
pub(super) struct Operators {
    pub task: JoinHandle<()>,
    pub liveness: Liveness,
    pub guests: admin::guests::Handle,
    pub devices: admin::devices::Handle,
}

impl Operators {
    /// Answers on `socket` from now on: whoever waits for the rest sees what it waits for.
    ///
    /// # Errors
    /// If the token cannot be read.
    pub fn start(base: &Base<'_>, socket: TcpListener, seen: &Seen) -> anyhow::Result<Self> {
        let Base { config, redis, metrics, readiness, .. } = base;
        let liveness = Liveness::default();
        let token = config.admin.token().map_err(anyhow::Error::msg)?.map(Arc::new);
        let guests = admin::guests::Handle { swap: Arc::default(), agents: Arc::default(), token: token.clone() };
        let devices = admin::devices::Handle { asking: Arc::default(), token };
        let console = About::new(config, redis).map(|about| {
            console::Handle::new(about, (&liveness, readiness), metrics, seen, (&guests, &devices), base.letters())
        });
        let handle = admin::Handle {
            liveness: liveness.clone(),
            readiness: readiness.clone(),
            metrics: metrics.clone(),
            guests: guests.clone(),
            devices: devices.clone(),
            console,
        };
        let task = tokio::spawn(admin::serve(socket, handle, base.stops.admin.clone()));
        Ok(Self { task, liveness, guests, devices })
    }
}
