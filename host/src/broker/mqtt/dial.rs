//! From the URL to an open socket.

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use url::Url;

use super::{Config, Error, tls};

/// An open connection, plain or TLS.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// Where the broker is and who we are there.
pub(super) struct Dial {
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    /// User name and password, empty where there is none.
    pub login: Option<(String, String)>,
}

impl Dial {
    /// Reads what the section names: the URL, certificates, the password.
    pub fn load(config: &Config) -> Result<Self, Error> {
        let (host, port, encrypted) = address(&config.url)?;
        let files = [&config.ca, &config.cert, &config.key];
        let tls = if encrypted {
            Some(tls::client(config)?.into())
        } else if files.iter().any(|file| file.is_some()) {
            let problem = "is not encrypted although ca, cert or key is set".to_owned();
            return Err(Error::Url { url: config.url.clone(), problem });
        } else {
            None
        };
        let password = match &config.password_file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| Error::File { key: "password_file", path: path.clone(), source: error.into() })?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
        };
        let login = config.username.clone().map(|username| (username, password));
        Ok(Self { host, port, tls, login })
    }

    /// Opens a connection.
    pub async fn open(&self) -> Result<Box<dyn Socket>, Error> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(Error::Connect)?;
        // Acknowledgements are gathered by us; Nagle would only hold them back.
        tcp.set_nodelay(true).map_err(Error::Connect)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let name = rustls::pki_types::ServerName::try_from(self.host.clone())
            .map_err(|error| Error::TlsHandshake(std::io::Error::other(error)))?;
        Ok(Box::new(tls.connect(name, tcp).await.map_err(Error::TlsHandshake)?))
    }

    /// Whether what is sent can be read on the way.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }
}

/// Host, port, and whether it is encrypted.
fn address(text: &str) -> Result<(String, u16, bool), Error> {
    let wrong = |problem: &str| Error::Url { url: text.to_owned(), problem: problem.to_owned() };
    let url = Url::parse(text).map_err(|error| wrong(&format!("is no URL: {error}")))?;
    let (encrypted, port) = match url.scheme() {
        "mqtt" => (false, 1883),
        "mqtts" => (true, 8883),
        _ => return Err(wrong("has an unknown scheme")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        // Without the text: it holds a secret.
        let problem = "holds credentials; set mqtt.username and mqtt.password_file instead".to_owned();
        return Err(Error::Url { url: format!("{}://…", url.scheme()), problem });
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has more than host and port"));
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("names no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host.to_owned(), url.port().unwrap_or(port), encrypted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_host_and_port_with_the_defaults_of_each_scheme() {
        assert_eq!(address("mqtt://broker.site").unwrap(), ("broker.site".to_owned(), 1883, false));
        assert_eq!(address("mqtts://broker.site").unwrap(), ("broker.site".to_owned(), 8883, true));
        assert_eq!(address("mqtt://[::1]:1884").unwrap(), ("::1".to_owned(), 1884, false));
    }

    #[test]
    fn rejects_other_urls_and_never_repeats_a_password() {
        for text in ["", "broker:1883", "http://broker", "mqtt://", "mqtt://broker/path", "mqtt://broker:99999"] {
            assert!(address(text).is_err(), "{text}");
        }
        let error = address("mqtt://me:hush@broker").unwrap_err().in_full();
        assert!(error.contains("password_file") && !error.contains("hush"), "{error}");
    }

    #[test]
    fn rejects_certificates_that_would_be_ignored() {
        let config = Config { url: "mqtt://broker".to_owned(), ca: Some("ca.pem".into()), ..Config::default() };
        assert!(matches!(Dial::load(&config), Err(Error::Url { .. })));
    }
}
