//! The page and what it is made of, embedded in the program.

use super::message::Response;

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// The map on a canvas, then what is around it.
const SCRIPTS: [(&str, &str); 2] = [("map.js", include_str!("map.js")), ("page.js", include_str!("page.js"))];

/// A file of the page; `None`: it has no such file. `pictures`: the origin from which pictures may come beside the server's own.
pub fn asset(name: &str, pictures: Option<&str>) -> Option<Response> {
    let script = SCRIPTS.iter().find(|(known, _)| *known == name);
    match (name, script) {
        ("", _) => {
            let policy = format!(
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' {}; connect-src 'self'; \
                 form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
                pictures.unwrap_or_default()
            );
            let html = Response::new("text/html; charset=utf-8", HTML);
            Some(html.with_header("content-security-policy", policy))
        }
        ("page.css", _) => Some(Response::new("text/css; charset=utf-8", STYLE)),
        (_, Some((_, text))) => Some(Response::new("text/javascript; charset=utf-8", *text)),
        _ => None,
    }
}
