// The parts of `moiety config` that have files of their own.
#pragma once

namespace CLI {
class App;
}

namespace moiety::apps {

/// import-ds, import-args.
void add_config_import(CLI::App& config, int& code);
/// explain, diff.
void add_config_explain(CLI::App& config, int& code);

}  // namespace moiety::apps
