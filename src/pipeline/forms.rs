//! Short forms of keys turned into their long ones, so that `--set` can name a part of what was written in short:
//! `classes[2].threshold` where the job says `- water,river`.

use super::classes;
use super::node::{Data, Entry, KeyStep, Node};
use super::stretch::short_keys;

/// Turns the short forms on the way of a key path into long ones: classes, prompts and other texts that may be lists,
/// `stretch`, `nodata`, `aoi`, `embeddings`, `outputs.polygons`. What is long already, or is no form of its key, stays as it is.
pub(super) fn lengthen(root: &mut Node, path: &[KeyStep]) {
    let mut node = root;
    for (depth, step) in path.iter().enumerate() {
        let (above, _) = path.split_at(depth);
        if let Some(long) = long_form(node, above, step) {
            node.data = long;
        }
        let Some(child) = node.child_mut(step) else { return };
        node = child;
    }
}

/// The long form of the value at the path `above`, where `step` leads into it.
fn long_form(node: &Node, above: &[KeyStep], step: &KeyStep) -> Option<Data> {
    let keys: Vec<&str> = above
        .iter()
        .map(|step| match step {
            KeyStep::Key(key) => key.as_str(),
            KeyStep::Index(_) => "[]",
        })
        .collect();
    match (keys.as_slice(), step, &node.data) {
        (["classes", "[]"], KeyStep::Key(_), Data::Text(text)) => {
            let name = classes::split(text, ',').next()?.text;
            Some(map(node, [("name", Data::Text(name)), ("prompts", node.data.clone())]))
        }
        (["scene"] | ["assets"] | ["outputs", "polygons", "classes"], KeyStep::Index(_), Data::Text(_)) => {
            Some(Data::List(vec![node.clone()]))
        }
        (["classes", "[]", "prompts"], KeyStep::Index(_), Data::Text(text)) => {
            let part = |part: classes::Part| {
                Node::text(node.span.part(text, part.offset, part.text.chars().count()), part.text)
            };
            Some(Data::List(classes::split(text, ',').map(part).collect()))
        }
        (["stretch"], KeyStep::Key(_), Data::Text(text)) => {
            let entries = short_keys(text)?.into_iter().map(|(key, value)| entry(node, key, value));
            Some(Data::Map(entries.collect()))
        }
        (["nodata"], KeyStep::Key(_), Data::Number(_)) => Some(map(node, [("value", node.data.clone())])),
        (["nodata"], KeyStep::Key(_), Data::Text(text)) => {
            let (value, tolerance) = text.split_once('~')?;
            let number = |text: &str| Some(Data::Number(text.trim().parse::<f64>().ok()?.into()));
            Some(map(node, [("value", number(value)?), ("tolerance", number(tolerance)?)]))
        }
        (["embeddings"], KeyStep::Key(_), Data::Text(_)) => Some(map(node, [("store", node.data.clone())])),
        (["aoi"], KeyStep::Key(_), Data::Text(_)) => Some(map(node, [("file", node.data.clone())])),
        (["aoi"], KeyStep::Key(_), Data::List(_)) => Some(map(node, [("bounds", node.data.clone())])),
        (["outputs", "polygons"], KeyStep::Key(_), Data::Text(_)) => Some(map(node, [("file", node.data.clone())])),
        // Whoever sets a number of the polygons wants them.
        (["outputs", "polygons"], KeyStep::Key(_), Data::Bool(_)) => Some(Data::Map(Vec::new())),
        _ => None,
    }
}

fn map<const N: usize>(node: &Node, entries: [(&str, Data); N]) -> Data {
    Data::Map(entries.into_iter().map(|(key, data)| entry(node, key, data)).collect())
}

fn entry(node: &Node, key: &str, data: Data) -> Entry {
    Entry { key: key.to_owned(), key_span: node.span.clone(), value: placed(node, data) }
}

/// A value that was written where `node` is, with all that lies inside it.
fn placed(node: &Node, data: Data) -> Node {
    let data = match data {
        Data::List(items) => Data::List(items.into_iter().map(|item| placed(node, item.data)).collect()),
        other => other,
    };
    Node { span: node.span.clone(), data }
}
