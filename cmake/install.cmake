# What `cmake --install` puts where: binary, manual page, documentation, example playbooks, shell completions. The Lua
# standard library is inside the binary.
include(GNUInstallDirs)
if(TARGET runbook)
  install(TARGETS runbook RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(FILES docs/runbook.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN "*.lua")
if(EXISTS ${CMAKE_SOURCE_DIR}/playbooks)
  install(DIRECTORY playbooks/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples FILES_MATCHING PATTERN "*.lua" PATTERN "*.md")
endif()

# Completions are written by the binary itself, at installation: a build for another machine cannot run it and leaves
# them out.
if(TARGET runbook AND NOT CMAKE_CROSSCOMPILING)
  install(CODE "set(runbook_binary \"$<TARGET_FILE:runbook>\")
set(runbook_datadir \"${CMAKE_INSTALL_DATADIR}\")")
  install(SCRIPT cmake/completions.cmake)
endif()
