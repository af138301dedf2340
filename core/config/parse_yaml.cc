// yaml-cpp's events -> Node. Events rather than yaml-cpp's own tree: that one keeps duplicate keys,
// reads `yes` as true and `010` as eight, and forgets where keys stood.
#include <map>
#include <sstream>
#include <utility>

#include <moiety/error.h>

#include <yaml-cpp/anchor.h>
#include <yaml-cpp/emitterstyle.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "core/config/node.h"

namespace moiety::config {
namespace {

/// Aliases copy what they name; a file that multiplies them must not fill the memory.
constexpr size_t kMaxNodes = 200000;

size_t count_nodes(const Node& node) {
  size_t n = 1;
  for (const Node& item : node.items) n += count_nodes(item);
  for (const Node::Entry& entry : node.entries) n += count_nodes(entry.value);
  return n;
}

class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(Mark start) : start_(std::move(start)) {}

  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    node.mark = place(mark);
    add(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end()) fail(place(mark), "an alias inside what it names");
    count(count_nodes(it->second), place(mark));
    Node copy = it->second;
    copy.mark = place(mark);
    add(std::move(copy), 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    // "?" is a plain scalar, "!" a quoted one (or a block of text).
    if (!tag.empty() && tag != "?" && tag != "!") refuse_tag(mark, tag);
    add(Node::scalar(text, tag == "!", place(mark)), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::Kind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Node node;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    std::string key;
    Mark key_mark;
  };

  [[noreturn]] static void fail(const Mark& mark, const std::string& problem) {
    throw ConfigError(mark.text() + ": " + problem);
  }
  [[noreturn]] void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
    fail(place(mark), "tags are not supported, got '" + tag + "'; write the plain value");
  }
  /// Inside the value of an override everything stands at the override.
  Mark place(const YAML::Mark& mark) const {
    if (start_.line == 0) return start_;
    return {start_.source, mark.line + 1, mark.column + 1};
  }
  void count(size_t nodes, const Mark& mark) {
    total_ += nodes;
    if (total_ > kMaxNodes) fail(mark, "the file grows beyond what a configuration can be");
  }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    if (!tag.empty() && tag != "?" && tag != "!") refuse_tag(mark, tag);
    Frame frame;
    frame.node.kind = kind;
    frame.node.mark = place(mark);
    frame.anchor = anchor;
    const bool as_key = !stack_.empty() && stack_.back().node.is_map() && !stack_.back().has_key;
    if (as_key) fail(frame.node.mark, "a key must be plain text");
    stack_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    add(std::move(frame.node), frame.anchor);
  }

  void add(Node node, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = node;
    count(1, node.mark);
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& top = stack_.back();
    if (top.node.is_list()) {
      top.node.items.push_back(std::move(node));
    } else if (!top.has_key) {
      take_key(top, node);
    } else {
      // `key:` with nothing behind it has the position of whatever comes next.
      if (node.is_null()) node.mark = top.key_mark;
      top.node.entries.push_back({top.key, top.key_mark, std::move(node)});
      top.has_key = false;
    }
  }

  void take_key(Frame& top, const Node& node) {
    if (!node.is_scalar()) fail(node.mark, "a key must be plain text");
    if (node.text == "<<" && !node.quoted) {
      fail(node.mark, "merge keys are not supported; compose files with 'base:'");
    }
    if (const Node::Entry* first = top.node.find(node.text)) {
      std::string path;
      for (const Frame& frame : stack_) {
        if (frame.has_key) path = child_path(path, frame.key);
      }
      fail(node.mark, child_path(path, node.text) + ": the key appears twice; first at line " +
                          std::to_string(first->mark.line));
    }
    top.has_key = true;
    top.key = node.text;
    top.key_mark = node.mark;
  }

  Mark start_;
  Node root_;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, Node> anchors_;
  size_t total_ = 0;
};

Node parse(const std::string& text, const Mark& start) {
  try {
    TreeBuilder builder(start);
    std::istringstream in(text);
    YAML::Parser parser(in);
    parser.HandleNextDocument(builder);
    TreeBuilder rest(start);
    if (parser.HandleNextDocument(rest)) {
      throw ConfigError(rest.take().mark.text() + ": a second document; expected one");
    }
    return builder.take();
  } catch (const YAML::Exception& e) {
    Mark mark = start;
    if (mark.line != 0) mark.line = e.mark.line + 1, mark.column = e.mark.column + 1;
    throw ConfigError(mark.text() + ": cannot be read as YAML: " + e.msg);
  }
}

}  // namespace

Node parse_yaml(const std::string& text, const std::string& source) {
  const Mark start{source, 1, 1};
  Node root = parse(text, start);
  if (root.is_null()) root = Node::map(start);
  if (!root.is_map()) {
    throw ConfigError(root.mark.text() + ": expected a map of keys at the top of the file");
  }
  root.mark = start;
  return root;
}

Node parse_value(const std::string& text, const Mark& mark) {
  Node node = parse(text, {mark.source, 0, 0});
  node.mark = mark;
  return node;
}

}  // namespace moiety::config
