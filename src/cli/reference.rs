//! The reference of all commands, made from the types of the command line: a page in Markdown, completions for shells, manual pages.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Args, Command, CommandFactory as _, ValueEnum};
use clap_complete::Shell;
use serde::Serialize;

use super::Cli;
use crate::error::{Context, Result};

#[derive(Args, Debug)]
pub struct ReferenceArgs {
    /// Page to print
    #[arg(value_enum)]
    pub page: ReferencePage,
    /// Folder for manual pages and help
    #[arg(long, value_name = "DIR", required_if_eq_any([("page", "man"), ("page", "help")]))]
    pub to: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReferencePage {
    /// All keys of a job file
    Jobs,
    /// All commands and their options
    Commands,
    /// All commands and their options, for programs: JSON
    Json,
    /// Completions for bash
    Bash,
    /// Completions for zsh
    Zsh,
    /// Completions for fish
    Fish,
    /// Manual pages of all commands, into the folder of --to
    Man,
    /// Help of all commands in all forms, into the folder of --to
    Help,
}

const INTRODUCTION: &str = "# Commands

`segearth COMMAND --help` prints the same in the terminal. All commands take the [global options](#global-options).
[Exit codes](exit-codes.md) and [environment variables](environment.md) have pages of their own, and the
[glossary](glossary.md) explains terms such as debiasing.

<!-- Printed by `segearth reference commands`. `make reference` renews this page. -->
";

/// Returns the page in Markdown: a list of all commands, a section for each, then the options that all of them take.
pub fn command_reference() -> String {
    let mut root = Cli::command();
    root.build();
    let mut commands = Vec::new();
    leaves(&root, &mut commands);
    let mut text = format!("{INTRODUCTION}\n| command | |\n|---|---|\n");
    for command in &commands {
        let name = name(command);
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "| [`{name}`](#{}) | {} |", name.replace(' ', "-"), cell(&about));
    }
    for command in &commands {
        section(command, &mut text);
    }
    text.push_str("\n## Global options\n");
    options(root.get_arguments().filter(|arg| arg.is_global_set()), &mut text);
    text
}

/// Returns the script that completes the program's commands and options in a shell.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "segearth", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Returns the manual pages of the program and its commands: file name and content.
pub fn manual_pages() -> Vec<(String, Vec<u8>)> {
    let mut root = Cli::command();
    root.build();
    let mut pages = Vec::new();
    manual(&root, &mut pages);
    pages
}

fn manual(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = name(command).replace(' ', "-");
    let mut content = Vec::new();
    // Writing to memory does not fail.
    let _ = clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).render(&mut content);
    pages.push((format!("{name}.1"), content));
    command.get_subcommands().for_each(|command| manual(command, pages));
}

/// Returns what `--help` (long) and `-h` (short) print for the program and each command, without and with colours (.ansi): file name
/// and content. Launchers of packages print them without starting the program.
pub fn help_texts() -> Vec<(String, Vec<u8>)> {
    let mut root = Cli::command();
    root.build();
    let mut texts = Vec::new();
    help(&mut root, &mut texts);
    texts
}

fn help(command: &mut Command, texts: &mut Vec<(String, Vec<u8>)>) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let stem = name(command).replace(' ', "-");
    for (form, text) in [("long", command.render_long_help()), ("short", command.render_help())] {
        texts.push((format!("{stem}.{form}"), text.to_string().into_bytes()));
        texts.push((format!("{stem}.{form}.ansi"), text.ansi().to_string().into_bytes()));
    }
    command.get_subcommands_mut().for_each(|command| help(command, texts));
}

/// A command for programs that make forms of it.
#[derive(Serialize)]
struct CommandJson {
    name: String,
    about: String,
    arguments: Vec<ArgumentJson>,
}

/// An argument or option of a command.
#[derive(Serialize)]
struct ArgumentJson {
    /// The option without its hyphens; `null` for an argument by position.
    option: Option<String>,
    /// What stands for the value in the help: `M2`, `LABELS.tif`.
    value: Option<String>,
    help: String,
    heading: Option<String>,
    required: bool,
    /// It may be given several times, or with several values.
    several: bool,
    /// Empty: any.
    values: Vec<String>,
    default: Option<String>,
}

/// Returns all commands and their options as JSON.
///
/// # Errors
/// They cannot be written as JSON, which would be a defect.
pub fn command_json() -> Result<String> {
    let mut root = Cli::command();
    root.build();
    let mut commands = Vec::new();
    leaves(&root, &mut commands);
    let argument = |arg: &Arg| {
        let takes = arg.get_action().takes_values();
        let names = arg.get_value_names().unwrap_or_default();
        let values = arg.get_possible_values().into_iter().filter(|value| takes && !value.is_hide_set());
        let default = arg.get_default_values().first().filter(|_| takes);
        ArgumentJson {
            option: arg.get_long().map(str::to_owned),
            value: names.first().filter(|_| takes).map(ToString::to_string),
            help: arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default(),
            heading: arg.get_help_heading().map(str::to_owned),
            required: arg.is_required_set(),
            several: matches!(arg.get_action(), ArgAction::Append)
                || arg.get_num_args().is_some_and(|range| range.max_values() > 1),
            values: values.map(|value| value.get_name().to_owned()).collect(),
            default: default.map(|value| value.to_string_lossy().into_owned()),
        }
    };
    let commands: Vec<CommandJson> = commands
        .iter()
        .map(|command| CommandJson {
            name: name(command).trim_start_matches("segearth ").to_owned(),
            about: command.get_about().map(ToString::to_string).unwrap_or_default(),
            arguments: command
                .get_arguments()
                .filter(|arg| !(arg.is_global_set() || arg.is_hide_set() || is_help(arg)))
                .map(argument)
                .collect(),
        })
        .collect();
    let text = serde_json::to_string_pretty(&commands).internal(|| "the commands cannot be written as JSON".into())?;
    Ok(text + "\n")
}

/// The commands that do something themselves, in the order of the help.
fn leaves<'a>(command: &'a Command, found: &mut Vec<&'a Command>) {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        if command.has_subcommands() {
            leaves(command, found);
        } else {
            found.push(command);
        }
    }
}

fn name(command: &Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}

fn section(command: &Command, text: &mut String) {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = write!(text, "\n## `{}`\n\n{about}\n\n```text\n{usage}\n```\n", name(command));
    let shown = || command.get_arguments().filter(|arg| !(arg.is_global_set() || arg.is_hide_set() || is_help(arg)));
    let positionals: Vec<&Arg> = shown().filter(|arg| arg.is_positional()).collect();
    if !positionals.is_empty() {
        text.push_str("\n| argument | |\n|---|---|\n");
        for arg in positionals {
            let _ = writeln!(text, "| `{arg}` | {} |", meaning(arg));
        }
    }
    let mut headings = Vec::new();
    for heading in shown().filter(|arg| !arg.is_positional()).map(Arg::get_help_heading) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    headings.sort();
    for heading in headings {
        if let Some(heading) = heading {
            let _ = write!(text, "\n{heading}:\n");
        }
        options(shown().filter(|arg| !arg.is_positional() && arg.get_help_heading() == heading), text);
    }
    if let Some(after) = command.get_after_help() {
        let _ = write!(text, "\n```text\n{after}\n```\n");
    }
}

fn is_help(arg: &Arg) -> bool {
    matches!(arg.get_id().as_str(), "help" | "version")
}

fn options<'a>(args: impl Iterator<Item = &'a Arg>, text: &mut String) {
    text.push_str("\n| option | |\n|---|---|\n");
    for arg in args {
        let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
        // With the value's name, as clap writes it in the help.
        let long = cell(&format!("`{arg}`"));
        let _ = writeln!(text, "| {short}{long} | {} |", meaning(arg));
    }
}

/// The help of an argument, its default and the values that it takes.
fn meaning(arg: &Arg) -> String {
    let mut text = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let values: Vec<_> = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set()).collect();
    let takes_values = arg.get_action().takes_values() && !arg.is_hide_possible_values_set();
    if takes_values && !values.is_empty() {
        let values: Vec<String> = values
            .iter()
            .map(|value| match value.get_help() {
                Some(help) => format!("`{}` ({help})", value.get_name()),
                None => format!("`{}`", value.get_name()),
            })
            .collect();
        let _ = write!(text, ". Values: {}", values.join(", "));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if takes_values && !defaults.is_empty() {
        let _ = write!(text, " [default: {}]", defaults.join(", "));
    }
    cell(&text)
}

/// Text that may stand in a cell of a table.
fn cell(text: &str) -> String {
    let mut shown = String::new();
    let mut code = false;
    for c in text.chars() {
        code ^= c == '`';
        match c {
            '|' => shown.push_str("\\|"),
            '\n' => shown.push(' '),
            '<' if !code => shown.push_str("&lt;"),
            '*' if !code => shown.push_str("\\*"),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_and_manual_pages_know_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completions(shell);
            assert!(script.contains("vectorize") && script.contains("min-area"), "{shell}");
        }
        let pages = manual_pages();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"segearth.1") && names.contains(&"segearth-model-fetch.1"), "{names:?}");
        assert!(!names.contains(&"segearth-reference.1"), "hidden commands are left out");
        let (_, page) = pages.iter().find(|(name, _)| name == "segearth-segment.1").unwrap();
        assert!(String::from_utf8_lossy(page).contains("classes"));
        let texts = help_texts();
        let text = |name: &str| {
            let found = texts.iter().find(|(found, _)| found == name).map(|(_, text)| String::from_utf8_lossy(text));
            found.unwrap_or_default().into_owned()
        };
        assert!(text("segearth.long").contains("Usage: segearth"), "{}", text("segearth.long"));
        assert!(text("segearth-model-fetch.short").contains("Usage: segearth model fetch"));
        assert!(text("segearth.short.ansi").contains('\u{1b}') && !text("segearth.short").contains('\u{1b}'));
    }

    #[test]
    fn json_has_what_a_form_needs() {
        let text = command_json().unwrap();
        let commands: serde_json::Value = serde_json::from_str(&text).unwrap();
        let commands = commands.as_array().unwrap();
        let of =
            |name: &str| commands.iter().find(|command| command["name"] == name).unwrap_or_else(|| panic!("{name}"));
        let option = |name: &str, option: &str| {
            let all = of(name)["arguments"].as_array().unwrap();
            all.iter().find(|one| one["option"] == option).unwrap_or_else(|| panic!("{option}")).clone()
        };
        let recipe = option("vectorize", "recipe");
        assert_eq!((recipe["default"].as_str(), recipe["values"].as_array().unwrap().len()), (Some("landcover"), 5));
        assert_eq!(option("vectorize", "diagonal")["value"], serde_json::Value::Null, "a flag takes no value");
        assert_eq!(option("vectorize", "class")["several"], true);
        assert_eq!(option("vectorize", "output")["required"], true);
        assert_eq!(of("vectorize")["arguments"][0]["option"], serde_json::Value::Null);
        assert!(commands.iter().all(|command| command["name"] != "reference"), "hidden commands are left out");
    }

    #[test]
    fn command_reference_lists_every_option() {
        let page = command_reference();
        for part in [
            "| [`segearth model train-upsampler`](#segearth-model-train-upsampler) | ",
            "## `segearth submit k8s`\n",
            "| `<JOB.yaml>` | ",
            "| `-i`, `--input <PATH>...` | ",
            "Run options:\n",
            "| `--recipe <RECIPE>` | ",
            "## Global options\n",
        ] {
            assert!(page.contains(part), "{part} is not on the page:\n{page}");
        }
        assert!(!page.contains("## `segearth reference`"), "hidden commands are left out");
    }
}
