use std::{fs, hint, io, path::PathBuf};

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use super::{Error, refusal::Refusal};
use crate::config;

/// The bearer token that clients have to show. Only its digest is kept.
pub struct Token([u8; 32]);

/// What a request shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The token.
    Right,
    /// Another one.
    Wrong,
    /// None.
    None,
}

impl Token {
    /// Reads the token that the configuration names.
    pub(super) fn load(config: &config::Ingest) -> Result<Self, Error> {
        let token = match (&config.token_file, &config.token) {
            (Some(_), Some(_)) => return Err(Error::TwoTokens),
            (None, None) => return Err(Error::NoToken),
            // Editors and `echo` end a file with a newline that is no part of the token.
            (Some(path), None) => read(path.clone())?.trim().to_owned(),
            (None, Some(token)) => token.0.clone(),
        };
        Self::of(&token).ok_or(Error::UnusableToken)
    }

    /// This one; none if no client could send it: what does not fit a header would be answered with 401 for ever.
    #[must_use]
    pub fn of(token: &str) -> Option<Self> {
        let usable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        usable.then(|| Self(Sha256::digest(token.as_bytes()).into()))
    }

    /// Whether the request shows the token.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        match self.shown(headers) {
            Shown::Right => Ok(()),
            Shown::Wrong => Err(Refusal::WrongToken),
            Shown::None => Err(Refusal::NoToken),
        }
    }

    /// What the request shows.
    #[must_use]
    pub fn shown(&self, headers: &HeaderMap) -> Shown {
        let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes().split_at_checked(7));
        let Some(Some((scheme, token))) = shown else { return Shown::None };
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return Shown::None;
        }
        if self.is(token.trim_ascii()) { Shown::Right } else { Shown::Wrong }
    }

    /// Whether it is this one.
    #[must_use]
    pub fn is(&self, token: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(token).into();
        // Every byte is looked at whatever the first ones are, so the time taken tells nothing.
        self.0.iter().zip(shown).fold(0, |all, (ours, theirs)| hint::black_box(all | (ours ^ theirs))) == 0
    }
}

fn read(path: PathBuf) -> Result<String, Error> {
    fs::read_to_string(&path).map_err(|cause: io::Error| Error::TokenFile { path, cause })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::http::HeaderValue;

    use super::*;
    use crate::config::{Ingest, Secret};

    fn token(text: &str) -> Result<Token, Error> {
        Token::load(&Ingest { token: Some(Secret(text.to_owned())), ..Ingest::default() })
    }

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a header value"))])
    }

    #[test]
    fn takes_the_token_and_no_other() {
        let token = token("s3cret").expect("usable");
        assert!(token.check(&headers("Bearer s3cret")).is_ok());
        assert!(token.check(&headers("bearer  s3cret")).is_ok());
        for wrong in ["Bearer s3cre", "Bearer s3crets", "Bearer S3cret", "Bearer "] {
            assert!(matches!(token.check(&headers(wrong)), Err(Refusal::WrongToken)), "{wrong}");
        }
        for none in ["Basic s3cret", "s3cret", "Bearer"] {
            assert!(matches!(token.check(&headers(none)), Err(Refusal::NoToken)), "{none}");
        }
        assert!(matches!(token.check(&HeaderMap::new()), Err(Refusal::NoToken)));
    }

    #[test]
    fn trims_what_a_file_holds() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        writeln!(file, " s3cret").expect("written");
        let config = Ingest { token_file: Some(file.path().to_owned()), ..Ingest::default() };
        assert!(Token::load(&config).expect("usable").check(&headers("Bearer s3cret")).is_ok());
    }

    #[test]
    fn refuses_to_start_without_one_usable_token() {
        assert!(matches!(token(""), Err(Error::UnusableToken)));
        assert!(matches!(token("two words"), Err(Error::UnusableToken)));
        assert!(matches!(Token::load(&Ingest::default()), Err(Error::NoToken)));
        let path = PathBuf::from("/nonexistent/token");
        let missing = Ingest { token_file: Some(path.clone()), ..Ingest::default() };
        assert!(matches!(Token::load(&missing), Err(Error::TokenFile { .. })));
        let both = Ingest { token: Some(Secret("a".to_owned())), token_file: Some(path), ..Ingest::default() };
        assert!(matches!(Token::load(&both), Err(Error::TwoTokens)));
    }
}
