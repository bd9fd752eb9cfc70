//! What can go wrong with a broker, and what somebody can do about it.

use std::{fmt::Write, path::PathBuf};

/// Boxed cause.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What failed. [`Error::remedy`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be used.
    #[error("mqtt.url `{url}` {problem}")]
    Url {
        /// As configured.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// `ca`, `cert`, `key` do not go together.
    #[error("{0}")]
    Tls(&'static str),
    /// A file that the section names.
    #[error("cannot read mqtt.{key} `{}`", path.display())]
    File {
        /// Key of the section.
        key: &'static str,
        /// As configured.
        path: PathBuf,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The certificates cannot be used.
    #[error("the certificates of [mqtt] cannot be used")]
    Certificates(#[source] Cause),
    /// No connection.
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    /// No TLS.
    #[error("no TLS with the broker")]
    TlsHandshake(#[source] std::io::Error),
    /// The broker took too long to let us in.
    #[error("the broker did not answer within {0:?}")]
    Slow(std::time::Duration),
    /// CONNACK with a reason code.
    #[error("the broker refused us: {reason}")]
    Refused {
        /// The broker's reason.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// DISCONNECT.
    #[error("the broker ended the connection: {reason}")]
    Ended {
        /// The broker's reason.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] std::io::Error),
    /// The other side closed.
    #[error("the broker closed the connection")]
    Closed,
    /// Not MQTT, or not what may come now.
    #[error("the broker sent something malformed")]
    Malformed(#[source] Cause),
    /// Nothing came for a whole keep-alive.
    #[error("the broker has been silent for {0:?}")]
    Silent(std::time::Duration),
    /// Deliveries were given up; only a new connection makes the broker deliver them again.
    #[error("{0} deliveries were given up unsettled, reconnecting to have them again")]
    Abandoned(u64),
    /// There is nobody to hand deliveries to.
    #[error(transparent)]
    NoIntake(#[from] crate::event::Closed),
}

impl Error {
    /// What somebody can do, or an empty text where only waiting helps.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Url { .. } => "write mqtt://host:1883 or mqtts://host:8883",
            Self::Tls(_) => "set all of ca, cert and key, or none of cert and key",
            Self::File { .. } => "check that the file exists, is well-formed and may be read",
            Self::Certificates(_) => "check that the certificate belongs to the key, and the authority to the broker",
            Self::Connect(_) => "check mqtt.url, and that the broker runs and can be reached",
            Self::TlsHandshake(_) => {
                "check mqtt.ca, that the broker's certificate names the host of mqtt.url, and cert and key if it wants them"
            }
            Self::Slow(_) => "check that mqtt.url names an MQTT listener, and mqtts:// a TLS one",
            Self::Refused { remedy, .. } | Self::Ended { remedy, .. } => remedy,
            Self::Malformed(_) => "check that mqtt.url names an MQTT listener that speaks mqtt.version",
            Self::Closed => {
                "if it happens at once each time, check mqtt.version, the broker's log, and that no other client uses mqtt.client_id"
            }
            Self::Broken(_) | Self::Silent(_) | Self::Abandoned(_) | Self::NoIntake(_) => "",
        }
    }

    /// The error and its causes in one line, repeats skipped, with the remedy.
    #[must_use]
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.contains(&said) {
                let _ = write!(text, ": {said}");
            }
            cause = error.source();
        }
        if !self.remedy().is_empty() {
            let _ = write!(text, "; {}", self.remedy());
        }
        text
    }
}
