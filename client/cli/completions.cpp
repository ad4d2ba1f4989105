// Completions for shells, made from the command tree: nothing to keep up to date by hand.
#include <algorithm>

#include "client/cli/tree.hpp"

namespace square::cli {

namespace {

struct Flag {
  std::vector<std::string> names;  // "--size"
  std::string about;
  bool takes_value = false, takes_file = false;
  std::vector<std::string> choices;
};

// What may follow a path of commands: "" is the program alone, "/volume/create" a command.
struct Place {
  std::string path;
  std::vector<std::pair<std::string, std::string>> commands;  // name, about
  std::vector<Flag> flags;
  std::vector<std::string> choices;  // of an argument
  bool files = false;                // an argument is a path
};

// What CLI::IsMember tells of itself: "TEXT:{bash,zsh,fish}".
std::vector<std::string> choices_of(const CLI::Option& option) {
  const auto text = option.get_type_name();
  const auto begin = text.find('{'), end = text.find('}');
  if (begin == std::string::npos || end == std::string::npos) return {};
  std::vector<std::string> choices;
  std::string rest = text.substr(begin + 1, end - begin - 1) + ",";
  for (std::size_t at = 0, comma; (comma = rest.find(',', at)) != std::string::npos; at = comma + 1)
    choices.push_back(rest.substr(at, comma - at));
  return choices;
}

bool is_path(const std::string& name) {
  return name == "FILE" || name == "DIR" || name == "PATH" || name == "--config";
}

Flag flag_of(const CLI::Option& option) {
  Flag flag;
  for (const auto& name : option.get_lnames()) flag.names.push_back("--" + name);
  flag.about = option.get_description();
  flag.takes_value = option.get_items_expected_max() > 0;
  flag.takes_file = std::ranges::any_of(flag.names, is_path);
  flag.choices = choices_of(option);
  return flag;
}

void collect(CLI::App& app, const std::string& path, const std::vector<Flag>& global,
             std::vector<Place>& places) {
  Place place;
  place.path = path;
  place.flags = global;
  for (const auto* option : app.get_options()) {
    if (option->get_positional()) {
      place.files = place.files || is_path(option->get_name(true));
      for (auto& choice : choices_of(*option)) place.choices.push_back(std::move(choice));
    } else if (!path.empty() && !option->check_lname("help")) {
      place.flags.push_back(flag_of(*option));  // --help is among the global ones
    }
  }
  const auto below = app.get_subcommands([](CLI::App*) { return true; });
  for (const auto* child : below)
    place.commands.emplace_back(child->get_name(), child->get_description());
  places.push_back(std::move(place));
  for (auto* child : below) collect(*child, path + "/" + child->get_name(), global, places);
}

std::vector<Place> places_of(CLI::App& app) {
  std::vector<Flag> global;
  for (const auto* option : app.get_options())
    if (!option->get_positional()) global.push_back(flag_of(*option));
  std::vector<Place> places;
  collect(app, "", global, places);
  return places;
}

template <class Items, class Text>
std::string joined(const Items& items, const std::string& between, Text text) {
  std::string all;
  for (const auto& item : items) all += (all.empty() ? "" : between) + text(item);
  return all;
}

std::string same(const std::string& text) { return text; }

// In single quotes, for any of the three shells.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text)
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  return out + "'";
}

// "/volume|/volume/create|...": a word that leads on.
std::string paths_pattern(const std::vector<Place>& places, const std::string& between) {
  std::vector<std::string> paths;
  for (const auto& place : places)
    if (!place.path.empty()) paths.push_back(place.path);
  return joined(paths, between, same);
}

// bash and zsh: the cases of what follows an option that takes a value. `files` and `words` are
// the shell's ways to offer them.
template <class Words>
std::string value_cases(const std::vector<Place>& places, const std::string& files, Words words) {
  std::string text;
  for (const auto& place : places)
    for (const auto& flag : place.flags) {
      if (!flag.takes_value) continue;
      text += "    " +
              joined(flag.names, "|", [&](const auto& n) { return quoted(place.path + ":" + n); }) +
              ") " + (flag.takes_file ? files : words(flag.choices)) + "; return ;;\n";
    }
  return text;
}

std::string bash(const std::vector<Place>& places) {
  const auto words = [](const std::vector<std::string>& choices) {
    return "COMPREPLY=($(compgen -W " + quoted(joined(choices, " ", same)) + " -- \"$cur\"))";
  };
  std::string text =
      "# Completions of square for bash; made by: square completions bash\n"
      "_square() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} path='' at\n"
      "  COMPREPLY=()\n"
      "  for ((at = 1; at < COMP_CWORD; ++at)); do\n"
      "    case \"$path/${COMP_WORDS[at]}\" in\n"
      "      " +
      paths_pattern(places, "|") +
      ") path+=/${COMP_WORDS[at]} ;;\n    esac\n  done\n  case \"$path:$prev\" in\n" +
      value_cases(places, "COMPREPLY=($(compgen -f -- \"$cur\"))", words) +
      "  esac\n  case \"$path\" in\n";
  for (const auto& place : places) {
    auto all = place.choices;
    for (const auto& [name, about] : place.commands) all.push_back(name);
    for (const auto& flag : place.flags)
      all.insert(all.end(), flag.names.begin(), flag.names.end());
    text += "    " + quoted(place.path) + ") " + words(all);
    if (place.files) text += "\n      [[ $cur != -* ]] && COMPREPLY+=($(compgen -f -- \"$cur\"))";
    text += " ;;\n";
  }
  return text + "  esac\n}\ncomplete -o filenames -F _square square\n";
}

// name:about, with the colons of the name's own escaped: there are none.
std::string described(const std::string& name, const std::string& about) {
  return quoted(name + ":" + about);
}

std::string zsh(const std::vector<Place>& places) {
  const auto words = [](const std::vector<std::string>& choices) {
    return choices.empty() ? std::string("_message value")
                           : "compadd -- " + joined(choices, " ", quoted);
  };
  std::string text =
      "#compdef square\n"
      "# Completions of square for zsh; made by: square completions zsh\n"
      "_square() {\n"
      "  local place='' at\n"
      "  local -a list\n"
      "  for ((at = 2; at < CURRENT; ++at)); do\n"
      "    case \"$place/${words[at]}\" in\n"
      "      " +
      paths_pattern(places, "|") +
      ") place+=/${words[at]} ;;\n    esac\n  done\n  case \"$place:${words[CURRENT-1]}\" in\n" +
      value_cases(places, "_files", words) + "  esac\n  case \"$place\" in\n";
  for (const auto& place : places) {
    text += "    " + quoted(place.path) + ")\n      list=(";
    for (const auto& [name, about] : place.commands) text += "\n        " + described(name, about);
    for (const auto& flag : place.flags)
      for (const auto& name : flag.names) text += "\n        " + described(name, flag.about);
    for (const auto& choice : place.choices) text += "\n        " + quoted(choice);
    text += ")\n      _describe -t commands square list\n";
    if (place.files) text += "      _files\n";
    text += "      ;;\n";
  }
  return text + "  esac\n}\n_square \"$@\"\n";
}

std::string fish(const std::vector<Place>& places) {
  std::string text =
      "# Completions of square for fish; made by: square completions fish\n"
      "function __square_at\n"
      "    set -l place ''\n"
      "    set -l typed (commandline -opc)\n"
      "    for word in $typed[2..-1]\n"
      "        switch \"$place/$word\"\n"
      "            case " +
      paths_pattern(places, " ") +
      "\n                set place \"$place/$word\"\n        end\n    end\n"
      "    test \"$place\" = \"$argv[1]\"\nend\ncomplete -c square -f\n";
  for (const auto& place : places) {
    const auto here = "complete -c square -n " + quoted("__square_at '" + place.path + "'");
    for (const auto& [name, about] : place.commands)
      text += here + " -a " + name + " -d " + quoted(about) + "\n";
    for (const auto& choice : place.choices) text += here + " -a " + quoted(choice) + "\n";
    if (place.files) text += here + " -F\n";
    for (const auto& flag : place.flags) {
      text += here;
      for (const auto& name : flag.names) text += " -l " + name.substr(2);
      if (flag.takes_file)
        text += " -r -F";
      else if (flag.takes_value)
        text += " -x";
      if (!flag.choices.empty()) text += " -a " + quoted(joined(flag.choices, " ", same));
      text += " -d " + quoted(flag.about) + "\n";
    }
  }
  return text;
}

}  // namespace

Result<std::string> completions(CLI::App& app, const std::string& shell) {
  const auto places = places_of(app);
  if (shell == "bash") return bash(places);
  if (shell == "zsh") return zsh(places);
  if (shell == "fish") return fish(places);
  return Error{Code::kInvalid, "\"" + shell + "\" is not one of bash, zsh, fish"};
}

}  // namespace square::cli
