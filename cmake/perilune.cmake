# How every part of Perilune is compiled.

add_compile_options(-Wall -Wextra -Wshadow -Wstrict-prototypes -Wno-unused-parameter -Wno-missing-field-initializers
  -fno-strict-aliasing -fno-omit-frame-pointer)
if(PERILUNE_SANITIZE)
  add_compile_options(-fsanitize=${PERILUNE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PERILUNE_SANITIZE})
endif()
if(PERILUNE_FUZZ) # tests/fuzz
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# perilune_library(NAME SOURCES...): the library of one folder. Headers are included by their path from
# src ("mem/region.h") or from the top ("hw/types.h").
function(perilune_library name)
  add_library(${name} STATIC ${ARGN})
  set_property(GLOBAL APPEND PROPERTY PERILUNE_LIBRARIES ${name})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
endfunction()

# perilune_unit_test(NAME LIBRARIES...): tests/unit/NAME.c, a cmocka program, known to CTest as unit.NAME.
function(perilune_unit_test name)
  add_executable(test_${name} ${name}.c)
  target_link_libraries(test_${name} PRIVATE ${ARGN} cmocka)
  set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME unit.${name} COMMAND test_${name})
  set_tests_properties(unit.${name} PROPERTIES TIMEOUT 120)
endfunction()
