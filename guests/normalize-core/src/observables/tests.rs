use super::*;

fn extract(allow: &AllowList, read: impl FnOnce(&mut Extractor<'_>, &mut Vec<Found>), text: &str) -> Vec<String> {
    let mut extractor = Extractor::new(allow);
    let mut found = Vec::new();
    read(&mut extractor, &mut found);
    let mut all: Vec<String> = found
        .iter()
        .map(|found| {
            let mark = match found.scope {
                Scope::Public => "",
                Scope::Reserved => "~",
                Scope::AllowListed => "+",
            };
            format!("{mark}{} {}", found.kind.as_str(), extractor.value(text, found))
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

fn free(text: &str) -> Vec<String> {
    extract(&AllowList::default(), |extractor, found| extractor.free_text(text, found), text)
}

fn typed(kind: ObservableType, text: &str) -> Vec<String> {
    extract(&AllowList::default(), |extractor, found| extractor.typed(kind, text, found), text)
}

/// Each text and all that is in it; `~` marks reserved, `+` allow-listed.
fn check(cases: &[(&str, &[&str])]) {
    let mut wrong = String::new();
    for (text, want) in cases {
        let mut want: Vec<String> = want.iter().map(|&value| value.to_owned()).collect();
        want.sort();
        let got = free(text);
        if got != want {
            wrong += &format!("{text:?}\n   found {got:?}\n   not   {want:?}\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn finds_addresses_and_cuts_what_surrounds_them() {
    check(&[
        ("from (8.8.4.4) to 9.9.9.9, then 1.1.1.1.", &["ip 8.8.4.4", "ip 9.9.9.9", "ip 1.1.1.1"]),
        ("src=45.33.32.156:443 dst=10.1.2.3/24", &["ip 45.33.32.156", "~ip 10.1.2.3"]),
        ("outside/45.33.32.156(80) -> inside:192.168.1.9/443", &["ip 45.33.32.156", "~ip 192.168.1.9"]),
        ("45.33.32.1-45.33.32.9", &["ip 45.33.32.1", "ip 45.33.32.9"]),
        ("1.2.3.4.5 300.1.1.1 01.2.3.4 .1.2.3.4 1.2.3 v1.2.3.4 2018.12.15.14.05.43", &[]),
        ("version 4.5.6.7, Chrome/109.0.0.0 server_version=\"4.5.6.7\"", &[]),
        ("peer [2606:4700:4700::1111]:53 via fe80::1%eth0", &["ip 2606:4700:4700::1111", "~ip fe80::1"]),
        (
            "2a00:1450:4001:0802:0000:0000:0000:200e and ::ffff:45.33.32.156",
            &["ip 2a00:1450:4001:0802:0000:0000:0000:200e", "ip ::ffff:45.33.32.156"],
        ),
        ("00:1a:2b:3c:4d:5e 12:34:56 std::string ab::cd 2026-11-22T10:11:12.123Z a::b::c", &[]),
        ("root@45.33.32.156", &["ip 45.33.32.156"]),
        (
            "45[.]33[.]32[.]156 45(.)33(.)32(.)156 45[.33.]32[.156 45<.>33<.>32<.>156 45\\.33\\.32\\.156",
            &["ip 45.33.32.156"],
        ),
        ("1,2,3,4", &[]),
    ]);
}

#[test]
fn finds_domains_and_no_files_or_identifiers() {
    check(&[
        ("visit windowsearchcache.com, or (mail.evil.ru).", &["domain windowsearchcache.com", "domain mail.evil.ru"]),
        ("Host: BAD.Example-Site.COM", &["domain bad.example-site.com"]),
        (
            "dhost=onet.pl query=\"get.sh\" mail.onet.pl run.pl",
            &["domain onet.pl", "domain get.sh", "domain mail.onet.pl"],
        ),
        ("*.cdn.evil.net and .evil.org", &["domain cdn.evil.net", "domain evil.org"]),
        ("report.pdf run.exe setup.py System.Net.WebClient java.lang.String user.name=x", &[]),
        ("www.evil.zip", &["domain www.evil.zip"]),
        ("вирус.рф 访问evil.com下载", &["domain вирус.рф", "domain evil.com"]),
        ("“evil.com” evil.org… (evil.net)", &["domain evil.com", "domain evil.org", "domain evil.net"]),
        ("example.com dc01.corp.local", &["~domain example.com", "~domain dc01.corp.local"]),
        (
            "evil[.]com evil(dot)org evil [.] net evil{.}info bad DOT ru worse-dot-com",
            &[
                "domain evil.com",
                "domain evil.org",
                "domain evil.net",
                "domain evil.info",
                "domain bad.ru",
                "domain worse.com",
            ],
        ),
        (
            "[www].evil.com www[.[evil[.[org www].]evil].]net",
            &["domain www.evil.com", "domain www.evil.org", "domain www.evil.net"],
        ),
        ("evil[-]site.com setup[.]py", &["domain evil-site.com", "domain setup.py"]),
        ("corp.evil.com\\user", &["domain corp.evil.com"]),
        ("e.g. this, i.e. that. The end.Next one", &[]),
        ("$obj.name foo.call(x) a[.5] list[.] suser=joe.black", &[]),
    ]);
}

#[test]
fn finds_urls_and_what_is_in_them() {
    check(&[
        ("get http://evil.com/a.php?x=1&y=2.", &["url http://evil.com/a.php?x=1&y=2", "domain evil.com"]),
        ("(https://evil.org/about/), next", &["url https://evil.org/about/", "domain evil.org"]),
        (
            "http://evil.com/a_(b)_(c) [http://evil.com/x](http://evil.com/x)",
            &["url http://evil.com/a_(b)_(c)", "url http://evil.com/x", "domain evil.com"],
        ),
        ("<a href=\"https://evil.com/x#y\" t>", &["url https://evil.com/x#y", "domain evil.com"]),
        (
            "f('https://evil[.]com/a.ps1');g \"https://evil.com/b\"",
            &["url https://evil.com/a.ps1", "url https://evil.com/b", "domain evil.com"],
        ),
        ("url,https://evil.com/g/foo,Some words", &["url https://evil.com/g/foo", "domain evil.com"]),
        ("http://user:pw@evil.com:8080/x", &["url http://user:pw@evil.com:8080/x", "domain evil.com"]),
        (
            "http://45.33.32.156:81/x http://[2606:4700::1111]:80/y",
            &[
                "url http://45.33.32.156:81/x",
                "ip 45.33.32.156",
                "url http://[2606:4700::1111]:80/y",
                "ip 2606:4700::1111",
            ],
        ),
        (
            "hxxp://evil[.]com/a hXXps[://]evil[.]org/b[.]html h**p://evil.net meow://evil.info/x",
            &[
                "url http://evil.com/a",
                "domain evil.com",
                "url https://evil.org/b.html",
                "domain evil.org",
                "url http://evil.net",
                "domain evil.net",
                "url http://evil.info/x",
                "domain evil.info",
            ],
        ),
        (
            "http[:]//evil.com http ://evil.org/ https:\\/\\/evil.net\\/a xxxx://evil.info",
            &[
                "url http://evil.com",
                "domain evil.com",
                "url http://evil.org/",
                "domain evil.org",
                "url https://evil.net/a",
                "domain evil.net",
                "url http://evil.info",
                "domain evil.info",
            ],
        ),
        (
            "evil.com/path/x.php evil[.]org/y",
            &["url evil.com/path/x.php", "domain evil.com", "url evil.org/y", "domain evil.org"],
        ),
        (
            "https://a.evil.com/r?u=http%3A%2F%2Fb.evil.org%2Fx&ip=45.33.32.156&h=d41d8cd98f00b204e9800998ecf8427e",
            &[
                "url https://a.evil.com/r?u=http%3A%2F%2Fb.evil.org%2Fx&ip=45.33.32.156&h=d41d8cd98f00b204e9800998ecf8427e",
                "domain a.evil.com",
                "domain b.evil.org",
                "ip 45.33.32.156",
                "hash_md5 d41d8cd98f00b204e9800998ecf8427e",
            ],
        ),
        ("${jndi:ldap://evil.com:1389/a}", &["url ldap://evil.com:1389/a", "domain evil.com"]),
        (
            "http://intranet/x http://localhost:3000/ http://10.0.0.1/",
            &["~url http://intranet/x", "~url http://localhost:3000/", "~url http://10.0.0.1/", "~ip 10.0.0.1"],
        ),
        (
            "http:// :// http://. http://http:// http://?? rdar://1234 h://test http://1.1.1.1.1 http://123.123.123 //a",
            &[],
        ),
        ("http://evil.com\\\\bad.doc", &["url http://evil.com", "domain evil.com"]),
        (
            "http://0x7f000001/ http://1113984355 HTTPS://Evil.COM/A",
            &[
                "~url http://0x7f000001/",
                "~ip 127.0.0.1",
                "url http://1113984355",
                "ip 66.102.13.99",
                "url https://evil.com/A",
                "domain evil.com",
            ],
        ),
        ("u=http%3A%2F%2Fevil%2Ecom%2Fa%2Ehta", &["url http://evil.com/a.hta", "domain evil.com"]),
        ("http://例え.中国/あ", &["url http://例え.中国/あ", "domain 例え.中国"]),
    ]);
}

#[test]
fn finds_mail_addresses() {
    check(&[
        ("mail Bob.Smith+x@Evil.com, now", &["email bob.smith+x@evil.com", "domain evil.com"]),
        (
            "to=<a@evil.com> smtp.mailfrom=b@evil.org -----c@evil.net",
            &[
                "email a@evil.com",
                "domain evil.com",
                "email b@evil.org",
                "domain evil.org",
                "email c@evil.net",
                "domain evil.net",
            ],
        ),
        (
            "bob[@]evil[.]com ann(at)evil(dot)com eve AT evil.com j[.]d[at]evil[.]com",
            &[
                "email bob@evil.com",
                "email ann@evil.com",
                "email eve@evil.com",
                "email j.d@evil.com",
                "domain evil.com",
            ],
        ),
        (
            "yo (arroba) evil (punto) com ich@evil [punkt] com",
            &["email yo@evil.com", "email ich@evil.com", "domain evil.com"],
        ),
        (
            "x@[45.33.32.156] y@[IPv6:2606:4700::1111]",
            &["email x@[45.33.32.156]", "ip 45.33.32.156", "email y@[IPv6:2606:4700::1111]", "ip 2606:4700::1111"],
        ),
        ("ask @evil.com, bob @evil[.]com", &["domain evil.com", "email bob@evil.com"]),
        ("HTTP/dc.evil.com@EVIL.COM", &["domain dc.evil.com", "domain evil.com"]),
        ("bad@evil.comahh @evil a@b user@host 'o@'", &[]),
        ("fooATevil.com fooMATevil", &["email foo@evil.com", "domain evil.com"]),
        ("soc@example.org", &["~email soc@example.org", "~domain example.org"]),
    ]);
}

#[test]
fn finds_hashes_and_cves() {
    check(&[
        (
            "MD5=D41D8CD98F00B204E9800998ECF8427E,IMPHASH=68B329DA9893E34099C7D8AD5CB9C940",
            &["hash_md5 d41d8cd98f00b204e9800998ecf8427e"],
        ),
        ("adc83b19e793491b1c6ea0fd8b46cd9f32e592fc", &["hash_sha1 adc83b19e793491b1c6ea0fd8b46cd9f32e592fc"]),
        (
            "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b.exe",
            &["hash_sha256 01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b"],
        ),
        ("x68b329da9893e34099c7d8ad5cb9c940 68b329da9893e34099c7d8ad5cb9c94 00000000000000000000000000000000", &[]),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 123e4567-e89b-12d3-a456-426614174000", &[]),
        (
            "(cve-2021-44228) CVE 2014-1001, CVE_2020_1472",
            &["cve CVE-2021-44228", "cve CVE-2014-1001", "cve CVE-2020-1472"],
        ),
        ("It is CVE-2024-3094. It is bad", &["cve CVE-2024-3094"]),
        ("like cve-2024-3094.", &["cve CVE-2024-3094"]),
        ("CVE-2024-3094.)", &["cve CVE-2024-3094"]),
        ("as CVE-2024-3094...", &["cve CVE-2024-3094"]),
        ("ran cve-2024-3094.py", &["cve CVE-2024-3094"]),
        ("CVE-2024-3094.5 xCVE-2024-3094. CVE-2024-309x.", &[]),
        ("cve-2024-3094.evil.com", &["domain cve-2024-3094.evil.com"]),
    ]);
}

#[test]
fn a_url_ends_before_what_the_sentence_puts_behind_it() {
    for mark in [
        ".", ",", ";", ":", "!", "?", ")", "]", "}", ">", "'", "\"", ".)", ").", ".]", "].", "...", ".\"", "\\n",
        ".\\n", "&quot;", "&gt;", ".&lt;", "&#39;",
    ] {
        for (url, host) in [
            ("http://evil.com/a", "domain evil.com"),
            ("http://evil.com/", "domain evil.com"),
            ("http://evil.com", "domain evil.com"),
            ("http://evil.com/a?b=c", "domain evil.com"),
            ("http://45.33.32.156/a", "ip 45.33.32.156"),
        ] {
            for text in [format!("see {url}{mark}"), format!("see {url}{mark} or not")] {
                let mut want = vec![host.to_owned(), format!("url {url}")];
                want.sort();
                assert_eq!(free(&text), want, "{text:?}");
            }
        }
    }
    check(&[("http://evil.com/?a=b&lt=1&quote=2", &["url http://evil.com/?a=b&lt=1&quote=2", "domain evil.com"])]);
}

#[test]
fn an_escape_is_no_part_of_what_stands_behind_it() {
    check(&[
        (r"seen:\nevil.com\nevil.org", &["domain evil.com", "domain evil.org"]),
        (r"\tevil.com", &["domain evil.com"]),
        (r"a\r\nhttp://evil.com/a\nb", &["url http://evil.com/a", "domain evil.com"]),
        (r"a\nftp://evil.com/a", &["url ftp://evil.com/a", "domain evil.com"]),
        (r"a\nevil.com/a", &["url evil.com/a", "domain evil.com"]),
        (r"to:\nbob@evil.com", &["email bob@evil.com", "domain evil.com"]),
        (r"a\n45.33.32.156\t2606:4700::1111", &["ip 45.33.32.156", "ip 2606:4700::1111"]),
        (r"a\nd41d8cd98f00b204e9800998ecf8427e", &["hash_md5 d41d8cd98f00b204e9800998ecf8427e"]),
        (r"a\nCVE-2024-3094.", &["cve CVE-2024-3094"]),
        (r"a\n/etc/passwd", &["file_path /etc/passwd"]),
        (r"\u003cevil.com\u003e \x22evil.org\x22", &["domain evil.com", "domain evil.org"]),
        // Escaped twice.
        (r"a\\nevil.com", &["domain evil.com"]),
        // A letter of a name that is not read.
        (r"caf\u00e9.com", &[]),
        // A backslash before other letters: an account, a path, a share.
        (r"CORP\alice at evil\network.com", &["domain network.com"]),
        (r"copy C:\nevil.com", &[r"file_path C:\nevil.com"]),
        (r"\\nevil.com\share", &[r"file_path \\nevil.com\share", "domain nevil.com"]),
    ]);
}

#[test]
fn finds_paths_keys_and_mutexes() {
    check(&[
        (r"C:\Windows\System32\svchost.exe -k netsvcs -p", &[r"file_path C:\Windows\System32\svchost.exe"]),
        (
            r#""C:\Program Files\A b\c d.exe" /q C:\Program Files (x86)\X\y.dll, z"#,
            &[r"file_path C:\Program Files\A b\c d.exe", r"file_path C:\Program Files (x86)\X\y.dll"],
        ),
        (
            r"C:\\Users\\bob\\AppData\\x.exe and \\fs01.evil.com\share\x.doc",
            &[
                r"file_path C:\Users\bob\AppData\x.exe",
                r"file_path \\fs01.evil.com\share\x.doc",
                "domain fs01.evil.com",
            ],
        ),
        (
            r"copy %TEMP%\a.vbs to C:\Temp and D:\x",
            &[r"file_path %TEMP%\a.vbs", r"file_path C:\Temp", r"file_path D:\x"],
        ),
        (
            r"C:\windows\ntdll.dll+9c584|x ..\a\b ./../c/d.py",
            &[r"file_path C:\windows\ntdll.dll", r"file_path ..\a\b", "file_path ./../c/d.py"],
        ),
        (
            "cat /etc/passwd; ~/foo/bar.py '/tmp/.x/y.sh'",
            &["file_path /etc/passwd", "file_path ~/foo/bar.py", "file_path /tmp/.x/y.sh"],
        ),
        ("file:///etc/shadow", &["file_path /etc/shadow"]),
        ("GET /home/index.php HTTP/1.1 cmd /c and/or /index.html", &[]),
        (
            r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Run added",
            &[r"registry_key HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Run"],
        ),
        (
            r"<HKCU>\Software\A HKCU:\Software\B “HKEY_USERS\<USER SID>\Software\C” key",
            &[
                r"registry_key HKCU\Software\A",
                r"registry_key HKCU\Software\B",
                r"registry_key HKEY_USERS\<USER SID>\Software\C",
            ],
        ),
        (r"mutex Global\Evil_1 and Local\{0A1B-2}", &[r"mutex Global\Evil_1", r"mutex Local\{0A1B-2}"]),
        (
            "ua \"Mozilla/5.0 (X11; Linux) Gecko/1 Chrome/109.0.0.0\" ok",
            &["user_agent Mozilla/5.0 (X11; Linux) Gecko/1 Chrome/109.0.0.0"],
        ),
    ]);
}

#[test]
fn typed_fields_are_checked_and_not_searched() {
    use ObservableType as T;
    let cases: &[(T, &str, &[&str])] = &[
        (T::Ip, "45.33.32.156", &["ip 45.33.32.156"]),
        (T::Ip, " fe80::1%3 ", &["~ip fe80::1"]),
        (T::Ip, "::", &["~ip ::"]),
        (T::Ip, "45.33.32.156:443", &["ip 45.33.32.156"]),
        (T::Ip, "-", &[]),
        (T::Ip, "unknown", &[]),
        (T::Domain, "setup.py", &["domain setup.py"]),
        (T::Domain, "WORKSTATION5", &["~domain workstation5"]),
        (T::Domain, "evil[.]com", &["domain evil.com"]),
        (T::Domain, "Evil.com.", &["domain evil.com"]),
        (T::Domain, "10.0.0.1", &["~ip 10.0.0.1"]),
        (T::Domain, "not a domain", &[]),
        (T::Url, "hxxp://evil.com/x y", &["url http://evil.com/x", "domain evil.com"]),
        (T::Url, "/index.php", &[]),
        (T::Email, "Bob <bob@evil.com>", &["email bob@evil.com", "domain evil.com"]),
        (T::HashMd5, "D41D8CD98F00B204E9800998ECF8427E", &["hash_md5 d41d8cd98f00b204e9800998ecf8427e"]),
        (
            T::HashSha256,
            "adc83b19e793491b1c6ea0fd8b46cd9f32e592fc",
            &["hash_sha1 adc83b19e793491b1c6ea0fd8b46cd9f32e592fc"],
        ),
        (T::HashMd5, "nope", &[]),
        (T::Cve, "2021-44228", &["cve CVE-2021-44228"]),
        (T::FilePath, r"C:\Program Files\a b.exe", &[r"file_path C:\Program Files\a b.exe"]),
        (T::FilePath, "System", &[]),
        (
            T::RegistryKey,
            r"HKLM\System\Current Control Set\x y",
            &[r"registry_key HKLM\System\Current Control Set\x y"],
        ),
        (T::Mutex, "evil_mutex", &["mutex evil_mutex"]),
        (T::UserAgent, "curl/8.5.0", &["user_agent curl/8.5.0"]),
    ];
    for (kind, text, want) in cases {
        let mut want = want.to_vec();
        want.sort_unstable();
        assert_eq!(typed(*kind, text), want, "{kind:?} {text:?}");
    }
}

#[test]
fn marks_what_the_site_allows() {
    let entries = ["evil.com", "45.33.32.0/24", "d41d8cd98f00b204e9800998ecf8427e"].map(str::to_owned);
    let allow = AllowList::new(&entries).unwrap();
    let text = "http://www.evil.com/x a@evil.com 45.33.32.156 D41D8CD98F00B204E9800998ECF8427E notevil.com";
    assert_eq!(
        extract(&allow, |extractor, found| extractor.free_text(text, found), text),
        [
            "+domain evil.com",
            "+domain www.evil.com",
            "+email a@evil.com",
            "+hash_md5 d41d8cd98f00b204e9800998ecf8427e",
            "+ip 45.33.32.156",
            "+url http://www.evil.com/x",
            "domain notevil.com",
        ]
    );
}

/// Texts made to be read over and over, `length` bytes each.
fn adversaries(length: usize) -> Vec<(&'static str, String)> {
    let of = |name, piece: &str| (name, piece.repeat(length / piece.len() + 1));
    vec![
        of("dots", "."),
        of("bracketed dots", "[.]"),
        of("bracketed labels", "a[.]"),
        of("spaced dots", "a [.] "),
        of("labels", "a."),
        of("at signs", "a@"),
        of("spaced at signs", "a @ "),
        of("hexadecimal", "deadbeef"),
        of("colons", ":"),
        of("groups", "a:"),
        of("schemes", "http://"),
        of("hosts", "http://a.com"),
        of("paths", "C:\\a"),
        of("backslashes", "\\"),
        of("shares", "\\\\a\\b "),
        of("drives", "C:\\ "),
        of("keys", "HKLM\\a "),
        of("hive", "HKLM\\"),
        of("slashes", "/"),
        of("roots", "/etc/"),
        of("opening", "("),
        of("closing", "a)."),
        of("percent", "%"),
        of("escapes", "http%3A%2F%2F"),
        of("escaped lines", "\\na.com"),
        of("escaped escapes", "\\\\na"),
        of("variables", "%a%\\"),
        of("angles", "C:\\<"),
        of("quoted", "\"C:\\a "),
        of("agents", "Mozilla/5 ("),
        of("glue", "aDOTb-dot-c"),
        of("numbers", "1.1."),
        of("users", "http://a:"),
        of("wide", "あ。"),
        of("letters", "é"),
        of("nested", "http://a.com/?u="),
        of("spaces", "a      "),
        of("angle keys", "HKLM\\<a "),
        of("mutexes", "Global\\ab"),
        of("cves", "CVE "),
        of("words", "a.com/ "),
        of("markers", "a[dot]b(at)"),
        of("long names", "aaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbb [.] "),
    ]
}

#[test]
fn time_grows_no_faster_than_the_text() {
    let allow = AllowList::default();
    let time = |text: &str| {
        // CPU time, and the least of several runs: whatever else the machine does only adds.
        (0..3)
            .map(|_| {
                let (mut extractor, mut found) = (Extractor::new(&allow), Vec::new());
                let start = cpu_time::ThreadTime::now();
                extractor.free_text(text, &mut found);
                start.elapsed()
            })
            .min()
            .unwrap_or_default()
    };
    for ((name, short), (_, long)) in adversaries(1 << 14).into_iter().zip(adversaries(1 << 17)) {
        let (short, long) = (time(&short), time(&long));
        // Eight times the text; quadratic work would take 64 times as long.
        assert!(long < 36 * short.max(std::time::Duration::from_micros(50)), "{name}: {short:?} became {long:?}");
    }
}
