#include "core/train/machine_info.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <ctime>
#include <fstream>

#include "core/base/cores.h"
#include "core/base/files.h"
#include "core/plugin/registry.h"

namespace moiety {

namespace {

/// The value of the first line "key : value" of /proc/cpuinfo or /proc/meminfo; "" without one.
std::string proc_value(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    if (line.rfind(key, 0) != 0 || colon == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::string utc_now() {
  char text[32];
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

}  // namespace

const char* moiety_version() { return MOIETY_VERSION; }

std::vector<PluginIdentity> plugin_identities(const PluginRegistry& plugins) {
  std::vector<PluginIdentity> identities;
  for (const ComponentInfo& info : plugins.loaded()) {
    identities.push_back({kind_name(info.kind), info.name, info.stamp.get("version"),
                          info.file.string(), sha256_of_file(info.file)});
  }
  return identities;
}

Json machine_info(const DeviceContext& context, const std::vector<PluginIdentity>& plugins) {
  utsname system = {};
  uname(&system);
  Json::Array libraries;
  for (const PluginIdentity& p : plugins) {
    libraries.push_back(Json::Object{{"kind", p.kind},
                                     {"name", p.name},
                                     {"version", p.version},
                                     {"file", p.file},
                                     {"sha256", p.sha256}});
  }
  return Json::Object{{"moiety", moiety_version()},
                      {"compiler", "gcc " __VERSION__},
                      {"cuda_build", kCuda},
                      {"started", utc_now()},
                      {"host", system.nodename},
                      {"system", std::string(system.sysname) + " " + system.release},
                      {"processor", proc_value("/proc/cpuinfo", "model name")},
                      {"cores", usable_cores()},
                      {"memory", proc_value("/proc/meminfo", "MemTotal")},
                      {"device", context.description()},
                      {"plugins", std::move(libraries)}};
}

}  // namespace moiety
