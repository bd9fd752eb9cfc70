//! Spellings of the contract's enums as they stand in JSON, subjects and metrics. The SDK has the same for guests: the two
//! sides share `wit/` and no code, as a guest in another language shares none.

use super::{Category, Kind, ObservableType, Scope, Severity, Tlp};

impl Severity {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// `critical`, `high`, `medium`, `low` or `info`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl Category {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Cps, Self::Network, Self::Endpoint, Self::Identity, Self::Cloud];

    /// `cps`, `network`, `endpoint`, `identity` or `cloud`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cps => "cps",
            Self::Network => "network",
            Self::Endpoint => "endpoint",
            Self::Identity => "identity",
            Self::Cloud => "cloud",
        }
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Alert, Self::Status, Self::Telemetry, Self::Attestation];

    /// As in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Status => "status",
            Self::Telemetry => "telemetry",
            Self::Attestation => "attestation",
        }
    }

    /// Whether it is an attestation result, which other sites get in a form of its own.
    #[must_use]
    pub fn is_attestation(self) -> bool {
        matches!(self, Self::Attestation)
    }
}

impl ObservableType {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Ip,
        Self::Domain,
        Self::Url,
        Self::Email,
        Self::HashMd5,
        Self::HashSha1,
        Self::HashSha256,
        Self::Cve,
        Self::FilePath,
        Self::RegistryKey,
        Self::Mutex,
        Self::UserAgent,
    ];

    /// As in the `type` of an IOC and the last token of its subject.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Domain => "domain",
            Self::Url => "url",
            Self::Email => "email",
            Self::HashMd5 => "hash_md5",
            Self::HashSha1 => "hash_sha1",
            Self::HashSha256 => "hash_sha256",
            Self::Cve => "cve",
            Self::FilePath => "file_path",
            Self::RegistryKey => "registry_key",
            Self::Mutex => "mutex",
            Self::UserAgent => "user_agent",
        }
    }
}

impl Tlp {
    /// All of them, from the most open one on.
    pub const ALL: [Self; 5] = [Self::Clear, Self::Green, Self::Amber, Self::AmberStrict, Self::Red];

    /// Reads one in whatever case and with whatever sign: `amber+strict`, `AMBER_STRICT`, `TLP:GREEN`; `white` of TLP 1 is
    /// `CLEAR`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_uppercase().replace(['_', '-', ' '], "+");
        let word = text.strip_prefix("TLP:").unwrap_or(&text);
        if word == "WHITE" {
            return Some(Self::Clear);
        }
        Self::ALL.into_iter().find(|tlp| tlp.as_str() == word)
    }

    /// The stricter of the two.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        if other as u8 > self as u8 { other } else { self }
    }

    /// As TLP 2.0 writes it: `CLEAR`, `GREEN`, `AMBER`, `AMBER+STRICT`, `RED`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "CLEAR",
            Self::Green => "GREEN",
            Self::Amber => "AMBER",
            Self::AmberStrict => "AMBER+STRICT",
            Self::Red => "RED",
        }
    }
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Public, Self::Reserved, Self::AllowListed];

    /// `public`, `reserved` or `allow-listed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Reserved => "reserved",
            Self::AllowListed => "allow-listed",
        }
    }
}
