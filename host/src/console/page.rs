use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

/// The page and what it may do.
pub(super) struct Page {
    pub html: String,
    /// `Content-Security-Policy`.
    pub policy: String,
}

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub(super) static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let html = HTML.replace("/*css*/", STYLE).replace("/*js*/", SCRIPT);
    // By digest, so that nothing runs here but what stands here, whatever else should get into the page.
    let digest = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text.as_bytes())));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
        digest(SCRIPT),
        digest(STYLE)
    );
    Page { html, policy }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_document_that_fetches_nothing_from_elsewhere() {
        let html = &PAGE.html;
        assert!(html.contains(STYLE) && html.contains(SCRIPT) && !html.contains("/*js*/"));
        for outside in ["src=", "@import", "url(http", "<link rel=\"stylesheet\"", "innerHTML", "style=\""] {
            assert!(!html.contains(outside), "{outside}");
        }
        // What would end the script early would also be outside of its digest.
        assert!(!SCRIPT.contains("</script") && !STYLE.contains("</style"));
    }

    #[test]
    fn the_policy_names_the_digests_and_nothing_lax() {
        assert_eq!(PAGE.policy.matches("'sha256-").count(), 2);
        assert!(!PAGE.policy.contains("unsafe") && !PAGE.policy.contains('*'), "{}", PAGE.policy);
    }
}
