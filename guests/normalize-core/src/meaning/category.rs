//! What part of the site an event concerns, where its format does not say: by the words of the product's name.

use aurora_guest::Category::{self, Cloud, Cps, Endpoint, Identity, Network};

/// A category by one of the project's own five words.
#[must_use]
pub fn by_word(word: &str) -> Option<Category> {
    [("cps", Cps), ("network", Network), ("endpoint", Endpoint), ("identity", Identity), ("cloud", Cloud)]
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word))
        .map(|(_, category)| category)
}

/// A category by a name of a product or origin. The first list that has a word of the name decides, so what is
/// special comes first.
#[must_use]
pub fn by_product(name: &str) -> Option<Category> {
    const LISTS: [(Category, &[&str]); 5] = [
        (Cps, &["scada", "industrial", "plc", "modbus", "nozomi", "claroty", "dragos", "badge", "ics", "ot-"]),
        (
            Identity,
            &[
                "cyberark",
                "cyber-ark",
                "vault",
                "identity",
                "iam",
                "okta",
                "ldap",
                "radius",
                "active directory",
                "duo",
                "ise",
                "acs",
                "pam",
                "pta",
                "authentication",
                "beyondtrust",
                "varonis",
                "semperis",
                "sso",
                "auth0",
                "ping",
            ],
        ),
        (
            Cloud,
            &[
                "aws",
                "amazon",
                "azure",
                "gcp",
                "google",
                "office365",
                "o365",
                "microsoft 365",
                "cloud",
                "cloudtrail",
                "casb",
                "netskope",
                "kubernetes",
                "guardduty",
            ],
        ),
        (
            Endpoint,
            &[
                "endpoint",
                "antivirus",
                "anti-virus",
                "anti-malware",
                "edr",
                "xdr",
                "deep security",
                "hx",
                "carbon",
                "crowdstrike",
                "falcon",
                "defender",
                "mcafee",
                "epo",
                "symantec",
                "sentinelone",
                "sophos",
                "windows",
                "linux",
                "unix",
                "sysmon",
                "wazuh",
                "ossec",
                "velociraptor",
                "osquery",
                "auditd",
                "bit9",
            ],
        ),
        (
            Network,
            &[
                "firewall",
                "suricata",
                "snort",
                "zeek",
                "bro",
                "ids",
                "ips",
                "proxy",
                "waf",
                "vpn",
                "router",
                "switch",
                "network",
                "networks",
                "dns",
                "gateway",
                "asa",
                "ngfw",
                "fortigate",
                "fortinet",
                "pan-os",
                "palo",
                "check",
                "sonicwall",
                "netscaler",
                "big-ip",
                "zscaler",
                "vectra",
                "imperva",
                "web",
            ],
        ),
    ];
    LISTS.iter().find(|(_, words)| words.iter().any(|word| has_word(name, word))).map(|&(category, _)| category)
}

/// Whether `name` has `word` in any case, with no letter on either side.
fn has_word(name: &str, word: &str) -> bool {
    let (name, word) = (name.as_bytes(), word.as_bytes());
    name.windows(word.len()).enumerate().any(|(at, part)| {
        part.eq_ignore_ascii_case(word)
            && (at == 0 || !name[at - 1].is_ascii_alphabetic())
            && !name.get(at + word.len()).is_some_and(u8::is_ascii_alphabetic)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_products_by_whole_words() {
        assert_eq!(by_product("Trend Micro Deep Security Agent"), Some(Endpoint));
        assert_eq!(by_product("Cyber-Ark Vault"), Some(Identity));
        assert_eq!(by_product("Palo Alto Networks PAN-OS"), Some(Network));
        assert_eq!(by_product("suricata"), Some(Network));
        assert_eq!(by_product("Raise"), None, "the last letters are no ISE");
    }
}
