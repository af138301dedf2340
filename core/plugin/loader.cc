// dlopen through Boost.DLL. Libraries are pinned: CUDA, exceptions and statics keep pointers into
// them, and dlclose has been seen to break each.
#define BOOST_DLL_USE_STD_FS
#include "core/plugin/loader.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <boost/dll/shared_library.hpp>

#include "core/base/log.h"
#include "core/plugin/descriptor.h"
#include "core/plugin/stamp.h"

namespace moiety {
namespace {

struct OpenLibrary : LoadedLibrary {
  boost::dll::shared_library handle;
};

/// Only the loader's own words: the error code that Boost adds is unrelated.
std::string reason(const std::error_code& code) {
  const char* text = ::dlerror();
  return text != nullptr ? text : code.message();
}

void open(OpenLibrary& library) {
  using boost::dll::load_mode::rtld_local, boost::dll::load_mode::rtld_now;
  std::error_code code;
  library.handle.load(std::filesystem::absolute(library.file), rtld_now | rtld_local, code);
  if (!code) return;
  const std::string why = reason(code);
  const char* hint = why.find("undefined symbol") == std::string::npos
                         ? ""
                         : "\nIt uses something that this core does not have. Rebuild it with "
                           "moiety_add_plugin() against this installation.";
  throw PluginError(fmt::format("plugin '{}' {} ({}) cannot be loaded: {}{}",
                                library.stamp.get("name"), library.stamp.get("version"),
                                library.file.string(), why, hint));
}

void register_components(OpenLibrary& library) {
  const auto add = [](void* context, const ComponentDescriptor* descriptor) {
    auto* self = static_cast<OpenLibrary*>(context);
    self->components.push_back(adopt(*descriptor, self->file, self->stamp));
  };
  if (!library.handle.has("moiety_plugin_entry")) {
    throw PluginError(
        fmt::format("plugin {} has a stamp but no moiety_plugin_entry", library.file.string()));
  }
  PluginBuilder builder(add, &library);
  try {
    library.handle.get<void(PluginBuilder*)>("moiety_plugin_entry")(&builder);
  } catch (const PluginError&) {
    throw;
  } catch (const std::exception& e) {
    throw PluginError(fmt::format("plugin {} failed while it registered its components: {}",
                                  library.file.string(), e.what()));
  }
  if (library.components.empty()) {
    throw PluginError(fmt::format("plugin {} registers no component", library.file.string()));
  }
}

/// Deliberately never destroyed, so that no library is closed at exit either.
void pin(std::shared_ptr<OpenLibrary> library) {
  static auto* pinned = new std::vector<std::shared_ptr<OpenLibrary>>;
  pinned->push_back(std::move(library));
}

}  // namespace

std::shared_ptr<const LoadedLibrary> load_library(const std::filesystem::path& file) {
  auto library = std::make_shared<OpenLibrary>();
  library->file = file;
  library->stamp = read_stamp(file);
  check_stamp(file, library->stamp, host_stamp());
  const std::string compiler = library->stamp.get("cxx"), own = host_stamp().get("cxx");
  if (compiler != own) {
    log::warning(
        fmt::format("plugin {} was built by {}, the core by {}", file.string(), compiler, own));
  }
  open(*library);
  pin(library);  // even when what follows fails: its code has run
  register_components(*library);
  return library;
}

}  // namespace moiety
