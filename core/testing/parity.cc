// Which comparison serves which file. Every file of the folder is compared or marked as later.
#include "core/testing/parity.h"

#include <algorithm>
#include <set>

#include "core/base/check.h"
#include "core/testing/parity_suite.h"

namespace moiety::testing {

namespace {

struct Reference {
  const char* file;
  void (*compare)(Parity&);
};

constexpr Reference kReferences[] = {
    {"gating.h5", compare_gating},
    {"optimizers.h5", compare_optimizers},
    {"lr_schedules.h5", compare_schedules},
    {"losses.h5", compare_router_z},
    {"moe_layers.h5", compare_moe_layers},
    {"deepspeed", compare_loss_scaler},
    {"expert_choice.h5", compare_expert_choice},
    {"residual_moe.h5", compare_residual},
};
constexpr const char* kModels[] = {"tiny_gpt2",  "tiny_llama",     "tiny_mixtral",
                                   "tiny_olmoe", "tiny_qwen3_moe", "tiny_deepseek_v3"};

/// A file that nothing here can be compared with: one row for each of its groups.
void mark_later(Parity& parity, const std::filesystem::path& entry) {
  const std::string name = entry.filename().string();
  const char* note = "nothing in this version to compare with";
  if (entry.extension() == ".h5") {
    try {
      const h5::File file(entry, h5::File::Mode::kRead);
      size_t groups = 0;
      for (const std::string& child : file.children("")) {
        if (!file.is_group(child)) continue;
        parity.report.later(name, child, note);
        ++groups;
      }
      if (groups > 0) return;
    } catch (const Error& e) {
      parity.report.begin(name, "");
      return parity.report.fail("", e.what());
    }
  }
  parity.report.later(name, "", note);
}

}  // namespace

ParityReport run_parity(const std::filesystem::path& golden, PluginRegistry& plugins,
                        DeviceContext& context) {
  MOIETY_CHECK(std::filesystem::is_directory(golden),
               "{}: no such folder; give the folder of reference files with --golden",
               golden.string());
  ParityReport report;
  Parity parity{golden, plugins, context, report};
  std::set<std::string> served;
  for (const Reference& reference : kReferences) {
    served.insert(reference.file);
    reference.compare(parity);
  }
  for (const char* model : kModels) {
    served.insert(model);
    compare_model(parity, model);
  }
  std::vector<std::filesystem::path> others;
  for (const auto& entry : std::filesystem::directory_iterator(golden)) {
    const std::string name = entry.path().filename().string();
    const std::filesystem::path kind = entry.path().extension();
    const bool data = kind != ".md" && kind != ".txt" && kind != ".cc" && !name.starts_with('.');
    if (data && served.count(name) == 0) others.push_back(entry.path());
  }
  std::sort(others.begin(), others.end());
  for (const auto& entry : others) mark_later(parity, entry);
  report.finish();
  return report;
}

}  // namespace moiety::testing
