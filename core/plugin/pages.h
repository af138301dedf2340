// docs/plugins: a page for each component. What its schema says stands between two markers and is
// written again from the plugin; everything else on the page is its author's.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/plugin/registry.h"

namespace moiety {

/// "gating_top1.md".
MOIETY_API std::string page_name(const ComponentInfo& component);
/// Summary, how to name it in a configuration, traits, options: with the markers.
MOIETY_API std::string page_block(const ComponentInfo& component);

/// What differs between a folder of pages and the plugins.
struct PagesReport {
  std::vector<std::string> problems;  // "gating_top1.md: stale: ...": for a check
  std::vector<std::string> written;   // files
};

/// Compares `folder` with the components: a missing page, a stale block, a page without prose, a
/// page of no plugin, a stale index (README.md). With `write` pages and index are brought up to
/// date; prose stays, and a new page has a place for it, which remains a problem.
MOIETY_API PagesReport update_pages(const std::filesystem::path& folder,
                                    const std::vector<const ComponentInfo*>& components,
                                    bool write);

}  // namespace moiety
