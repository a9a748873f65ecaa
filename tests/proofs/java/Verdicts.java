import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.parser.DataFormatException;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.SingleValidationMessage;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.CodeSystem;
import org.hl7.fhir.r4.model.StructureDefinition;
import org.hl7.fhir.r4.model.ValueSet;

/** Reads the path of a resource a line and prints, a line each: path, then for every error its message id and place, by tabs. */
public class Verdicts {
  public static void main(String[] packages) throws Exception {
    FhirContext context = FhirContext.forR4();
    PrePopulatedValidationSupport published = new PrePopulatedValidationSupport(context);
    for (String directory : packages) {
      try (Stream<Path> files = Files.walk(Paths.get(directory))) {
        for (Path file : (Iterable<Path>) files.filter(path -> path.toString().endsWith(".json"))::iterator) {
          String text = Files.readString(file);
          if (!text.contains("\"resourceType\"")) continue;
          if (!text.matches("(?s).*\"(StructureDefinition|ValueSet|CodeSystem)\".*")) continue;
          IBaseResource found;
          try {
            found = context.newJsonParser().parseResource(text);
          } catch (DataFormatException notAResource) {
            continue;
          }
          if (found instanceof StructureDefinition || found instanceof ValueSet || found instanceof CodeSystem) {
            published.addResource(found);
          }
        }
      }
    }
    FhirInstanceValidator module = new FhirInstanceValidator(new ValidationSupportChain(
        published,
        new DefaultProfileValidationSupport(context),
        new CommonCodeSystemsTerminologyService(context),
        new InMemoryTerminologyServerValidationSupport(context),
        new SnapshotGeneratingValidationSupport(context)));
    module.setAnyExtensionsAllowed(true);
    module.setErrorForUnknownProfiles(false);
    FhirValidator validator = context.newValidator();
    validator.registerValidatorModule(module);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    for (String line; (line = in.readLine()) != null; ) {
      StringBuilder said = new StringBuilder(line);
      try {
        for (SingleValidationMessage one : validator.validateWithResult(Files.readString(Paths.get(line))).getMessages()) {
          if (one.getSeverity().ordinal() >= 2) said.append('\t').append(one.getMessageId()).append(' ').append(one.getLocationString());
        }
      } catch (RuntimeException crash) {
        said.append("\tCRASH ").append(crash.getClass().getSimpleName());
      }
      out.println(said);
    }
  }
}
