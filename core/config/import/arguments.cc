// A launch line: the launcher's flags, the script, Megatron's flags, and the ds_config they name.
#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <moiety/error.h>

#include "core/base/files.h"
#include "core/base/strings.h"
#include "core/config/import/deepspeed.h"
#include "core/config/import/flags.h"
#include "core/config/import/import.h"
#include "core/config/import/shell.h"
#include "core/config/keys.h"
#include "core/config/scalar.h"

namespace moiety {
namespace config {
namespace {

namespace fs = std::filesystem;

/// In the order in which rules run: later topics read what earlier ones have set.
std::vector<const Flag*> all_flags() {
  std::vector<const Flag*> out;
  for (const auto table : {training_flags, moe_flags, model_flags, optimizer_flags, data_flags,
                           distillation_flags, run_flags, parallel_flags}) {
    for (const Flag& flag : table()) out.push_back(&flag);
  }
  return out;
}

std::vector<const Flag*> launch_flags() {
  std::vector<const Flag*> out;
  for (const Flag& flag : launcher_flags()) out.push_back(&flag);
  return out;
}

const Flag* find_flag(const std::vector<const Flag*>& flags, const std::string& name) {
  for (const Flag* flag : flags) {
    if (name == flag->name) return flag;
  }
  return nullptr;
}

bool is_script(const std::string& word) { return word.ends_with(".py"); }
bool is_flag(const std::string& word) { return word.starts_with("--"); }

bool starts_training(const ShellCommand& command) {
  const std::string name = fs::path(command.words[0]).filename();
  static constexpr std::array kStarters = {"deepspeed", "torchrun", "srun", "mpirun", "accelerate"};
  const bool starter = std::find(kStarters.begin(), kStarters.end(), name) != kStarters.end() ||
                       name.starts_with("python") || is_script(name);
  const bool script = std::any_of(command.words.begin(), command.words.end(), is_script);
  return (starter && script) || is_flag(command.words[0]);
}

class ArgumentReader {
 public:
  ArgumentReader(ShellScript script, std::string shown_name, ImportOptions options, Imported& out)
      : script_(std::move(script)),
        shown_(std::move(shown_name)),
        options_(std::move(options)),
        out_(out) {}

  void read() {
    for (const std::string& problem : script_.problems) out_.refuse(shown_, problem);
    const std::vector<std::string> words = launch_line();
    const auto script = std::find_if(words.begin(), words.end(), is_script);
    if (script != words.end()) {
      collect({words.begin(), script}, launch_flags(), launcher_, "an argument of the launcher");
      note_script(fs::path(*script).filename());
      collect({script + 1, words.end()}, all_flags(), given_, "no flag");
    } else {
      collect(words, all_flags(), given_, "no flag");
    }
    count_ranks();
    deepspeed_config();
    apply();
  }

  int64_t world_size() const { return world_size_; }

 private:
  std::vector<std::string> launch_line() {
    const ShellCommand* launch = nullptr;
    for (const ShellCommand& command : script_.commands) {
      if (!starts_training(command)) continue;
      if (launch == nullptr) {
        launch = &command;
      } else {
        out_.refuse(shown_ + ":" + std::to_string(command.line),
                    "a second command that starts a training; only the first one, in line " +
                        std::to_string(launch->line) + ", is read");
      }
    }
    if (launch == nullptr) {
      throw ConfigError(shown_ +
                        ": no command starts a training; expected `deepspeed SCRIPT.py FLAGS`, "
                        "`torchrun ...`, `python ...`, or flags alone");
    }
    std::vector<std::string> words = launch->words;
    const auto end = std::find_if(words.begin(), words.end(), [](const std::string& word) {
      return word == "&>" || word == ">" || word == "|" || word == "2>&1";
    });
    words.erase(end, words.end());
    return words;
  }

  void note_script(const std::string& name) {
    if (name == "pretrain_gpt_moe.py" || name == "pretrain_moe.py") {
      out_.note("", name +
                        " does not exist in Megatron-DeepSpeed, though guides show it: "
                        "pretrain_gpt.py trains MoE models too. Its flags are read");
    } else if (name != "pretrain_gpt.py") {
      out_.refuse(name,
                  "flags are read as those of Megatron-DeepSpeed's pretrain_gpt.py, and the "
                  "model is a GPT");
    }
  }

  void collect(const std::vector<std::string>& words, const std::vector<const Flag*>& known,
               GivenFlags& to, const std::string& what) {
    for (size_t i = 0; i < words.size();) {
      if (!is_flag(words[i])) {
        const bool launcher = &to == &launcher_;
        if (!launcher) out_.refuse(words[i], "stands behind no flag");
        ++i;
        continue;
      }
      GivenFlag flag{words[i++], {}};
      const size_t equals = flag.name.find('=');
      if (equals != std::string::npos) {
        flag.values.push_back(flag.name.substr(equals + 1));
        flag.name.resize(equals);
      }
      const Flag* row = find_flag(known, flag.name);
      const bool config = is_config(flag.name);
      const bool many = row == nullptr ? !config : row->arity == Arity::kMany;
      const bool takes = config || row == nullptr || row->arity != Arity::kNone;
      while (takes && i < words.size() && !is_flag(words[i]) && (many || flag.values.empty())) {
        flag.values.push_back(words[i++]);
      }
      if (row == nullptr && !config) {
        refuse_unknown(flag, known, what);
      } else if (takes && flag.values.empty()) {
        out_.refuse(flag.name, "needs a value");
      } else if (has_variable(flag) && matters(row)) {
        out_.refuse(flag.text(), "a variable is not set in the file");
      } else {
        if (to.has(flag.name)) out_.drop(to.find(flag.name)->text(), "given again later");
        to.add(std::move(flag));
      }
    }
  }

  static bool is_config(const std::string& name) {
    return name == "--deepspeed_config" || name == "--deepspeed-config";
  }

  static bool matters(const Flag* row) {
    return row == nullptr ||
           (row->meaning != Flag::Meaning::kNothing && row->meaning != Flag::Meaning::kRefused);
  }

  static bool has_variable(const GivenFlag& flag) {
    return std::any_of(flag.values.begin(), flag.values.end(),
                       [](const std::string& word) { return word.find('$') != std::string::npos; });
  }

  void refuse_unknown(const GivenFlag& flag, const std::vector<const Flag*>& known,
                      const std::string& what) {
    std::vector<std::string> names;
    names.reserve(known.size());
    for (const Flag* row : known) names.emplace_back(row->name);
    out_.refuse(flag.text(), what + " that is known here" + did_you_mean(flag.name, names));
  }

  void count_ranks() {
    const int64_t per_node =
        std::max({launcher_.integer("--num_gpus", 1), launcher_.integer("--nproc_per_node", 1),
                  launcher_.integer("--nproc-per-node", 1)});
    const int64_t nodes =
        std::max(launcher_.integer("--num_nodes", 1), launcher_.integer("--nnodes", 1));
    world_size_ =
        options_.world_size > 0 ? options_.world_size : std::max<int64_t>(1, per_node * nodes);
    for (const GivenFlag& flag : launcher_.list()) {
      out_.drop(flag.text(), find_flag(launch_flags(), flag.name)->text);
    }
  }

  /// The file's keys come first: what the flags say of the same things, rules decide.
  void deepspeed_config() {
    for (const GivenFlag& flag : given_.list()) {
      if (!is_config(flag.name)) continue;
      const std::string name = flag.values[0];
      std::string text;
      if (const auto it = script_.files.find(name); it != script_.files.end()) {
        text = it->second;
      } else if (const fs::path file = options_.folder / name; fs::is_regular_file(file)) {
        text = read_file(file);
      } else {
        out_.refuse(flag.text(),
                    "no such file; import it too, with `moiety config import-ds`, and "
                    "name one result as the `base` of the other");
        continue;
      }
      const std::string shown = fs::path(name).filename();
      try {
        const Node root = parse_yaml(without_comments(text), shown);
        read_deepspeed(root, shown + ": ", world_size_, out_);
        out_.note("", "the keys of " + shown + " are in this file");
      } catch (const ConfigError& e) {
        out_.refuse(flag.text(), e.what());
      }
    }
  }

  void apply() {
    const FlagContext context{given_, out_, world_size_};
    std::set<FlagRule> done;
    for (const Flag* row : all_flags()) {
      const GivenFlag* flag = given_.find(row->name);
      if (flag == nullptr) continue;
      switch (row->meaning) {
        case Flag::Meaning::kKey:
          out_.set(row->key, value_of(row->key, flag->values[0]), flag->text(), row->note);
          break;
        case Flag::Meaning::kSets: out_.set(row->key, row->text, flag->text(), row->note); break;
        case Flag::Meaning::kRule:
          if (done.insert(row->rule).second) row->rule(context);
          break;
        case Flag::Meaning::kNothing: out_.drop(flag->text(), row->text); break;
        case Flag::Meaning::kOnly: only_value(*row, *flag); break;
        case Flag::Meaning::kRefused: out_.refuse(flag->text(), row->text); break;
      }
    }
    // Those of which no flag is given.
    for (const FlagRule rule : {set_schedule, set_moe_layer, set_vocabulary, set_positions,
                                set_activation, set_dropout, set_optimizer}) {
      if (done.insert(rule).second) rule(context);
    }
    for (const GivenFlag& flag : given_.list()) {
      if (!is_config(flag.name) && !out_.mentions(flag.name)) {
        out_.drop(flag.text(), "another flag decides");
      }
    }
  }

  void only_value(const Flag& row, const GivenFlag& flag) {
    if (flag.values[0] == row.key) {
      out_.drop(flag.text(), "the only value there is here");
    } else {
      out_.refuse(flag.text(), row.text);
    }
  }

  /// A string in quotes where YAML would read something else.
  static std::string value_of(const std::string& path, const std::string& text) {
    const Key* key = Keys::all().find(path);
    const bool string = key != nullptr && key->option.type == OptionType::kString;
    const Node node = Node::scalar(text, false, {});
    return string || !to_float(node) ? string_text(text) : text;
  }

  ShellScript script_;
  std::string shown_;
  ImportOptions options_;
  Imported& out_;
  GivenFlags launcher_, given_;
  int64_t world_size_ = 1;
};

}  // namespace
}  // namespace config

ImportResult import_arguments(const std::string& text, const std::string& shown_name,
                              const ImportOptions& options, PluginRegistry& plugins) {
  using namespace config;
  Imported out("import-args", plugins);
  ArgumentReader reader(read_shell(text), shown_name, options, out);
  reader.read();
  add_deepspeed_defaults(out);
  add_what_is_missing(out);
  out.settle(reader.world_size());
  return {out.yaml(), out.refusals(), out.world_size()};
}

}  // namespace moiety
