//! TLS 1.2 and 1.3 with rustls over ring, mutual when there is a client certificate.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{Config, Error, error::Cause};

/// Reads the files anew each time, so that a renewed certificate needs no restart.
pub(super) fn client(config: &Config) -> Result<Arc<ClientConfig>, Error> {
    let identity = match (&config.ca, &config.cert, &config.key) {
        (_, None, None) => None,
        (Some(_), Some(cert), Some(key)) => Some((cert, key)),
        _ => return Err(Error::Tls("mqtt.ca, mqtt.cert and mqtt.key are set in part only")),
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Certificates(error.into()))?
        .with_root_certificates(roots(config)?);
    let client = match identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| file("key", key, error.into()))?;
            builder
                .with_client_auth_cert(certificates("cert", cert)?, key)
                .map_err(|error| Error::Certificates(error.into()))?
        }
    };
    Ok(Arc::new(client))
}

fn roots(config: &Config) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = &config.ca {
        for certificate in certificates("ca", ca)? {
            roots.add(certificate).map_err(|error| file("ca", ca, error.into()))?;
        }
    } else {
        // The system's store often holds a few certificates that nothing can read; the rest is still good.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Error::Certificates(
                "this system has no certificate authorities; install them, or set mqtt.ca".into(),
            ));
        }
    }
    Ok(roots)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(file(key, path, "it holds no PEM certificate".into())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(file(key, path, error.into())),
    }
}

fn file(key: &'static str, path: &Path, source: Cause) -> Error {
    Error::File { key, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_a_partial_mtls_setting() {
        let path = Some("/nowhere/file.pem".into());
        for (ca, cert, key) in [
            (None, path.clone(), None),
            (None, None, path.clone()),
            (None, path.clone(), path.clone()),
            (path.clone(), path.clone(), None),
            (path.clone(), None, path.clone()),
        ] {
            let config = Config { ca, cert, key, ..Config::default() };
            assert!(matches!(client(&config), Err(Error::Tls(_))), "{config:?}");
        }
    }

    #[test]
    fn names_the_file_that_cannot_be_read() {
        let config = Config { ca: Some("/nowhere/ca.pem".into()), ..Config::default() };
        let error = client(&config).expect_err("there is no such file").in_full();
        assert!(error.contains("mqtt.ca `/nowhere/ca.pem`"), "{error}");
    }
}
