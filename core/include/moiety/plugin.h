// MOIETY_PLUGIN("name", "version") { plugin.add<T>("type", "summary"); }
#pragma once

#include <cstdint>
#include <cstdio>

#include <moiety/component.h>
#include <moiety/error.h>
#include <moiety/options.h>

#define MOIETY_ABI_MAJOR 1
#define MOIETY_ABI_MINOR 0
#define MOIETY_STR_(x) #x
#define MOIETY_STR(x) MOIETY_STR_(x)
#if defined(__SANITIZE_ADDRESS__)
#define MOIETY_SANITIZER_ "asan"
#elif defined(__SANITIZE_THREAD__)
#define MOIETY_SANITIZER_ "tsan"
#else
#define MOIETY_SANITIZER_ "none"
#endif
#if defined(_GLIBCXX_DEBUG)
#define MOIETY_STLDEBUG_ "1"
#else
#define MOIETY_STLDEBUG_ "0"
#endif
#if defined(MOIETY_PLUGIN_CUDA)  // set by moiety_add_plugin: "13.0", of any of its sources
#define MOIETY_CUDA_ MOIETY_PLUGIN_CUDA
#elif defined(__CUDACC_VER_MAJOR__)
#define MOIETY_CUDA_ MOIETY_STR(__CUDACC_VER_MAJOR__) "." MOIETY_STR(__CUDACC_VER_MINOR__)
#else
#define MOIETY_CUDA_ "none"
#endif
#ifndef MOIETY_PLUGIN_SM  // set by moiety_add_plugin: "90,100+ptx", "none", "any" (no device code)
#define MOIETY_PLUGIN_SM "none"
#endif
#ifndef MOIETY_PLUGIN_LICENSE  // define it before including this header to say more
#define MOIETY_PLUGIN_LICENSE "unspecified"
#endif
#define MOIETY_STAMP_TEXT(name, version) \
  "MOIETY_PLUGIN abi=" MOIETY_STR(MOIETY_ABI_MAJOR) "." MOIETY_STR(MOIETY_ABI_MINOR)    \
  " stdlib=libstdc++-cxx11abi" MOIETY_STR(_GLIBCXX_USE_CXX11_ABI) " stldebug="              \
  MOIETY_STLDEBUG_ " sanitizer=" MOIETY_SANITIZER_ " cuda=" MOIETY_CUDA_ " sm=" MOIETY_PLUGIN_SM  \
  " license=" MOIETY_PLUGIN_LICENSE " cxx=gcc" MOIETY_STR(__GNUC__) " name=" \
  name " version=" version "\n"

namespace moiety {

struct CreateArgs {
  const OptionMap* options;
  const ModelDims* dims;
};

/// Why a component could not be made.
struct CreateError {
  char text[1024] = "";
  bool config = false;  // ConfigError: the user's options are at fault, not the plugin
};

struct ComponentDescriptor {
  uint32_t struct_size = sizeof(ComponentDescriptor);
  ComponentKind kind{};
  uint32_t interface_version = 0;
  const char* name = nullptr;
  const char* summary = nullptr;
  void (*schema)(std::vector<OptionSpec>*) = nullptr;
  Component* (*create)(const CreateArgs*, CreateError*) noexcept = nullptr;
  void (*destroy)(Component*) noexcept = nullptr;
  Traits traits;  // last: it may grow with the struct
};

/// Hands descriptors to the core one by one through a pointer, so that core and plugin may disagree
/// on how long the struct is.
class PluginBuilder {
 public:
  using Sink = void (*)(void* context, const ComponentDescriptor*);
  PluginBuilder(Sink sink, void* context) : sink_(sink), context_(context) {}

  template <class C>
  void add(const char* name, const char* summary) {
    ComponentDescriptor d;
    d.kind = C::kKind;
    d.interface_version = C::kInterface;
    d.name = name;
    d.summary = summary;
    if constexpr (requires { C::kTraits; }) d.traits = C::kTraits;
    d.schema = [](std::vector<OptionSpec>* out) { describe<C>(nullptr, out); };
    d.create = [](const CreateArgs* a, CreateError* error) noexcept -> Component* {
      try {
        return new C(describe<C>(a->options, nullptr), *a->dims);
      } catch (const std::exception& e) {
        std::snprintf(error->text, sizeof error->text, "%s", e.what());
        error->config = dynamic_cast<const ConfigError*>(&e) != nullptr;
      } catch (...) {
        std::snprintf(error->text, sizeof error->text,
                      "threw something that is not a std::exception");
      }
      return nullptr;
    };
    d.destroy = [](Component* c) noexcept { delete c; };
    add(d);
  }
  /// A descriptor made by hand; it may be longer or shorter than the core's.
  void add(const ComponentDescriptor& descriptor) { sink_(context_, &descriptor); }

 private:
  template <class C>
  static typename C::Options describe(const OptionMap* in, std::vector<OptionSpec>* out) {
    typename C::Options options;
    Schema<typename C::Options> schema(&options, in, out);
    C::Options::describe(schema);
    return options;
  }

  Sink sink_;
  void* context_;
};

}  // namespace moiety

#define MOIETY_PLUGIN(name, version)                                                               \
  MOIETY_PLUGIN_EXPORT const char moiety_plugin_stamp[] = "\x7f" MOIETY_STAMP_TEXT(name, version); \
  static void moiety_plugin_body_(::moiety::PluginBuilder& plugin);                                \
  MOIETY_PLUGIN_EXPORT void moiety_plugin_entry(::moiety::PluginBuilder* plugin) {                 \
    moiety_plugin_body_(*plugin);                                                                  \
  }                                                                                                \
  static void moiety_plugin_body_(::moiety::PluginBuilder& plugin)
