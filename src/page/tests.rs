use super::*;

const HOSTILE: &str = "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>\" onload=\"x' {{job}}";

fn page(word: &str) -> String {
    let classes =
        [("water", [0, 0, 255]), (word, [255, 0, 0])].map(|(name, colour)| ClassInfo { name: name.to_owned(), colour });
    let amount = || Amount { pixels: format!("2 {word}"), area: Some(format!("3 ha {word}")) };
    let shares: Vec<Share<'_>> = classes
        .iter()
        .zip([0.25, 0.75])
        .map(|(class, share)| Share { class, share, amount: amount(), listed: true })
        .collect();
    let mut sketch = Sketch::new(Size::new(2, 2));
    sketch.line(1, [(0.0, 0.25), (1.5, 1.0)].into_iter().map(geo::Coord::from));
    Page {
        title: word,
        subtitle: word,
        sides: ["Scene", "Result"],
        layers: &Layers::example(),
        vectors: Some(Vectors { name: word, sketch: &sketch }),
        words: Words { several: word, one: word, note: word },
        scale: Some(&ScaleBar { share: 0.2, label: word.to_owned() }),
        classes: &shares,
        nodata: Some(amount()),
        provenance: &[(word.to_owned(), word.to_owned())],
        job: word,
        resolved: word,
    }
    .render()
    .unwrap()
}

#[test]
fn hostile_name_stays_text() {
    let html = page(HOSTILE);
    assert_eq!(html.matches("<script>").count(), 1, "the page's own");
    assert_eq!(html.matches("</title>").count(), 1);
    assert_eq!(html.matches("<img ").count(), 2);
    let tags: Vec<&str> = html.split('<').filter_map(|tag| tag.split('>').next()).collect();
    assert!(!tags.iter().any(|tag| tag.contains("onerror") || tag.contains("onload")), "{tags:?}");
    assert_eq!(html.matches("{{job}}").count(), html.matches("&#60;/title").count(), "filled in, and not filled again");
}

#[test]
fn page_loads_nothing() {
    let html = page("field");
    assert!(!html.contains("{{"), "every placeholder of the template is filled");
    for attribute in ["src=\"", "href=\"", "url(", "@import", "srcset", "action=\""] {
        for (at, _) in html.match_indices(attribute) {
            let value = &html[at + attribute.len()..][..5];
            assert_eq!((attribute, value), ("src=\"", "data:"));
        }
    }
    assert!(!html.contains("://"), "no address at all");
    assert_eq!(page("field"), html, "the same page every time");
}

#[test]
fn policy_has_the_hash_of_the_script() {
    let html = page("field");
    let script = html.split("<script>").nth(1).and_then(|rest| rest.split("</script>").next()).unwrap();
    let hash = BASE64.encode(Sha256::digest(script));
    assert!(html.contains(&format!("script-src 'sha256-{hash}';")));
}

#[test]
fn classes_are_sorted_by_share() {
    let html = page("field");
    let body = html.split("<tbody>").nth(1).unwrap();
    let order = [body.find("field").unwrap(), body.find("water").unwrap(), body.find("no data").unwrap()];
    assert!(order.is_sorted(), "{order:?}");
    for expected in
        ["data-slot=\"1\"", "75.0 %", "<td class=\"value\">1</td>", "3 ha field", "width:33.33%", "width:20.000%"]
    {
        assert!(html.contains(expected), "{expected} is not in\n{body}");
    }
}

#[test]
fn control_characters_are_replaced() {
    assert_eq!(Text("a\0\u{1b}\n\t").to_string(), "a\u{fffd}\u{fffd}\n\t");
}
