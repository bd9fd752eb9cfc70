use std::{error::Error, fmt};

/// An error and its causes on one line, separated by `: `.
///
/// A cause whose text the one before already contains is left out: our own errors keep the cause out of their
/// `Display`, but async-nats and redis put it in, and nobody wants to read it twice.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.to_string();
        f.write_str(&shown)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !shown.contains(&text) {
                write!(f, ": {text}")?;
                shown = text;
            }
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|link| link as _)
        }
    }

    fn shown(texts: &[&'static str]) -> String {
        let chain = texts.iter().rev().fold(None, |inner, text| Some(Box::new(Link(text, inner))));
        Chain(&*chain.expect("at least one link")).to_string()
    }

    #[test]
    fn names_every_cause_from_the_outside_in() {
        assert_eq!(
            shown(&["cannot publish", "connection lost", "broken pipe"]),
            "cannot publish: connection lost: broken pipe"
        );
    }

    #[test]
    fn skips_a_cause_that_the_one_before_contains() {
        assert_eq!(
            shown(&["connect: refused (os error 111)", "refused (os error 111)"]),
            "connect: refused (os error 111)"
        );
    }

    #[test]
    fn goes_on_after_a_skipped_cause() {
        assert_eq!(shown(&["io: refused", "refused", "no route", "no route"]), "io: refused: no route");
    }

    #[test]
    fn leaves_no_separator_for_an_empty_cause() {
        assert_eq!(shown(&["lost", ""]), "lost");
    }
}
