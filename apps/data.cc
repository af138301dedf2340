// moiety data prepare --out FILE [--text FILE... | --from-headers]
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include <moiety/error.h>

#include "apps/commands.h"
#include "core/base/files.h"
#include "core/base/strings.h"
#include "core/train/corpus.h"

namespace moiety::apps {

namespace {

struct Arguments {
  std::filesystem::path out, headers = "/usr/include";
  std::vector<std::filesystem::path> text;
  bool from_headers = false;
  double max_megabytes = 32;
};

void prepare(const Arguments& a) {
  if (a.from_headers == !a.text.empty()) {
    throw ConfigError("data prepare: give either --from-headers or --text FILE...");
  }
  const std::vector<std::filesystem::path> files =
      a.from_headers ? header_files(a.headers) : a.text;
  const std::string text = gather_text(files, static_cast<int64_t>(a.max_megabytes * 1e6));
  if (a.out.has_parent_path()) std::filesystem::create_directories(a.out.parent_path());
  replace_file(a.out, text);
  const ByteEntropies e = byte_entropies(text);
  std::printf("%s: %s\nentropy in nats a byte: unigram %.3f, bigram %.3f, trigram %.3f\n",
              a.out.c_str(), short_bytes(static_cast<double>(text.size())).c_str(), e.unigram,
              e.bigram, e.trigram);
}

}  // namespace

void add_data(CLI::App& app, int& code) {
  const auto a = std::make_shared<Arguments>();
  CLI::App* data = app.add_subcommand("data", "Prepares text to train on");
  data->require_subcommand(1);
  CLI::App* command = data->add_subcommand("prepare", "Writes one text file and its entropies");
  command->add_option("--out", a->out, "file to write")->required();
  command->add_option("--text", a->text, "texts, in this order")->check(CLI::ExistingFile);
  command->add_flag("--from-headers", a->from_headers, "the C and C++ headers of this machine");
  command->add_option("--headers", a->headers, "folder of the headers");
  command->add_option("--max-megabytes", a->max_megabytes, "the rest is left out")
      ->check(CLI::Range(0.001, 1e6));
  command->callback([a, &code] { prepare(*a), code = kOk; });
}

}  // namespace moiety::apps
