//! Talking to one registry.
//!
//! oci-client knows how to log in, and takes and brings blobs. Manifests are taken here: it would read one of any length.

use std::{fs, io, time::Duration};

use futures_util::TryStreamExt as _;
use oci_client::{
    Client, RegistryOperation,
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    secrets::RegistryAuth,
};
use reqwest::header::{ACCEPT, HeaderValue};

use super::{
    OciError, Reference,
    artifact::{self, MANIFEST, Part},
    login::login,
};
use crate::{config, sandbox::Digest};

/// Longest silence.
const SILENCE: Duration = Duration::from_secs(20);

/// A registry, as we are known to it.
pub(super) struct Talk<'a> {
    reference: &'a Reference,
    client: Client,
    /// For manifests.
    http: reqwest::Client,
    auth: RegistryAuth,
    base: String,
}

impl<'a> Talk<'a> {
    pub(super) fn with(reference: &'a Reference, config: &config::Registry) -> Result<Self, OciError> {
        // reqwest wants one even where nothing is encrypted. An error means that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let registry = reference.registry();
        let authority = match &config.ca {
            Some(path) => {
                let what = format!("cannot read guests.registry.ca {}", path.display());
                Some(fs::read(path).map_err(|source| OciError::Configuration { what, source })?)
            }
            None => None,
        };
        let is_plain = reference.is_local() || (config.plain_http && config.host.as_deref() == Some(registry));
        let (protocol, scheme) =
            if is_plain { (ClientProtocol::Http, "http") } else { (ClientProtocol::Https, "https") };
        let certificate = |data: &Vec<u8>| Certificate { encoding: CertificateEncoding::Pem, data: data.clone() };
        let client = Client::try_from(ClientConfig {
            protocol,
            extra_root_certificates: authority.iter().map(certificate).collect(),
            platform_resolver: None,
            read_timeout: Some(SILENCE),
            connect_timeout: Some(SILENCE),
            user_agent: concat!("aurora/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        })
        .map_err(OciError::from)?;
        let mut http = reqwest::Client::builder()
            .read_timeout(SILENCE)
            .connect_timeout(SILENCE)
            // A redirect of what is encrypted leads to what is.
            .https_only(!is_plain)
            .user_agent(concat!("aurora/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &authority {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(OciError::Http)?;
            http = http.tls_certs_merge(certificates);
        }
        Ok(Self {
            reference,
            client,
            http: http.build().map_err(OciError::Http)?,
            auth: login(config, registry)?,
            base: format!("{scheme}://{registry}"),
        })
    }

    /// The manifest, which has the digest that the reference names, if it names one.
    pub(super) async fn manifest(&self) -> Result<Vec<u8>, OciError> {
        let token = self.log_in(RegistryOperation::Pull).await?;
        let url = format!("{}{}", self.base, self.reference.manifest_path());
        let request = self.http.get(url).header(ACCEPT, MANIFEST);
        let request = match (token, &self.auth) {
            (Some(token), _) => request.bearer_auth(token),
            (None, RegistryAuth::Basic(user, password)) => request.basic_auth(user, Some(password)),
            (None, _) => request,
        };
        let mut answer = request.send().await.map_err(OciError::Http)?;
        if !answer.status().is_success() {
            return Err(OciError::Answer(answer.status().to_string()));
        }
        let mut manifest = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(OciError::Http)? {
            manifest.extend_from_slice(&part);
            if manifest.len() as u64 > artifact::MOST {
                return Err(OciError::TooLarge { what: "its manifest", most: artifact::MOST });
            }
        }
        check(self.reference.digest(), &manifest)?;
        Ok(manifest)
    }

    /// A blob. More bytes than its manifest says are not even read.
    pub(super) async fn blob(&self, what: &'static str, part: &Part) -> Result<Vec<u8>, OciError> {
        let digest = part.digest.to_string();
        let stream = self.client.pull_blob_stream(self.reference.inner(), digest.as_str()).await;
        let mut stream = stream.map_err(OciError::from)?.stream;
        let mut bytes = Vec::new();
        let broken = |error: io::Error| OciError::Answer(format!("half of it: {error}"));
        while let Some(more) = stream.try_next().await.map_err(broken)? {
            bytes.extend_from_slice(&more);
            if bytes.len() as u64 > part.size {
                return Err(OciError::TooLarge { what, most: part.size });
            }
        }
        check(Some(part.digest), &bytes)?;
        Ok(bytes)
    }

    /// Brings blobs and the manifest that names them.
    pub(super) async fn push(&self, blobs: &[&[u8]], manifest: &[u8]) -> Result<Digest, OciError> {
        self.log_in(RegistryOperation::Push).await?;
        for blob in blobs {
            let digest = Digest::of(blob).to_string();
            let pushed = self.client.push_blob(self.reference.inner(), blob.to_vec(), &digest).await;
            pushed.map_err(OciError::from)?;
        }
        let pushed = self.client.push_manifest_raw(
            self.reference.inner(),
            manifest.to_vec(),
            HeaderValue::from_static(MANIFEST),
        );
        pushed.await.map_err(OciError::from)?;
        Ok(Digest::of(manifest))
    }

    async fn log_in(&self, operation: RegistryOperation) -> Result<Option<String>, OciError> {
        self.client.auth(self.reference.inner(), &self.auth, operation).await.map_err(OciError::from)
    }
}

fn check(wanted: Option<Digest>, bytes: &[u8]) -> Result<(), OciError> {
    let got = Digest::of(bytes);
    match wanted {
        Some(wanted) if wanted != got => Err(OciError::Digest { wanted, got }),
        _ => Ok(()),
    }
}
