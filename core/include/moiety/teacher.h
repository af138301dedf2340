// What an objective says about a model that it learns from. The core builds that model from its own
// configuration and checkpoint, runs it forward alone, and hands its logits to evaluate() while
// wants_teacher() says so. When the answer changes, the model is loaded, or dropped and its memory
// given back.
#pragma once

#include <string>

namespace moiety {

/// Facet "teacher" of an Objective: const TeacherRequest*. Its option is called `teacher`, so that
/// an error can say where it stands in the file.
struct TeacherRequest {
  std::string source;     // a run directory, or a checkpoint
  std::string config;     // YAML of its model, for a checkpoint that holds none
  bool training = false;  // with dropout and the training's capacity
};

/// Facet "end_of_document_token" of an Objective: const int64_t*; below 0 = none. Rows whose input
/// is this token have no loss, and do not count in the denominator.
inline constexpr const char* kTeacherFacet = "teacher";
inline constexpr const char* kEndOfDocumentFacet = "end_of_document_token";

}  // namespace moiety
