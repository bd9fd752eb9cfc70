use std::{borrow::Cow, net::IpAddr};

use ipnet::IpNet;
use url::Url;

use super::names::canonical;
use crate::sandbox::ObservableType;

/// What an observable is or names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host<'a> {
    Address(IpAddr),
    Network(IpNet),
    Name(Cow<'a, str>),
}

/// What an observable is or names; none for types that name no host.
///
/// # Errors
/// It should name one, and it cannot be told which.
pub(super) fn host_of(kind: ObservableType, value: &str) -> Result<Option<Host<'_>>, ()> {
    let value = value.trim();
    Ok(Some(match kind {
        ObservableType::Ip => match value.parse() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Network(value.parse().map_err(|_| ())?),
        },
        ObservableType::Domain => named(value).ok_or(())?,
        ObservableType::Email => {
            let (_, domain) = value.rsplit_once('@').ok_or(())?;
            named(domain.trim_matches(['[', ']'])).ok_or(())?
        }
        ObservableType::Url => {
            // Without a scheme a program would take it for a path, and a person for an address.
            let url =
                Url::parse(value).ok().filter(Url::has_host).map_or_else(|| Url::parse(&format!("http://{value}")), Ok);
            let url = url.map_err(|_| ())?;
            let host = url.host_str().ok_or(())?.trim_matches(['[', ']']);
            match named(host).ok_or(())? {
                Host::Name(name) => Host::Name(name.into_owned().into()),
                Host::Address(address) => Host::Address(address),
                Host::Network(network) => Host::Network(network),
            }
        }
        _ => return Ok(None),
    }))
}

/// A name, or an address in the place of one.
fn named(text: &str) -> Option<Host<'_>> {
    match text.parse() {
        Ok(address) => Some(Host::Address(address)),
        Err(_) => canonical(text).map(Host::Name),
    }
}
