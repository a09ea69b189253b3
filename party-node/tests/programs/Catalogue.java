import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.util.Properties;

/** What a database program in Java does: looks at the catalogue, asks, reads in parts. Arguments: port, password. */
class Catalogue {
    public static void main(String[] arguments) throws Exception {
        Properties login = new Properties();
        login.setProperty("user", "ines");
        login.setProperty("password", arguments[1]);
        try (Connection node = DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + arguments[0] + "/study", login)) {
            catalogue(node.getMetaData());
            questions(node);
        }
    }

    static void catalogue(DatabaseMetaData data) throws Exception {
        System.out.println("product " + data.getDatabaseProductName() + " " + data.getDatabaseProductVersion());
        try (ResultSet rows = data.getSchemas()) {
            while (rows.next()) System.out.println("schema " + rows.getString("TABLE_SCHEM"));
        }
        try (ResultSet rows = data.getTables(null, "public", "%", new String[] {"TABLE", "VIEW"})) {
            while (rows.next()) {
                System.out.println("table " + rows.getString("TABLE_SCHEM") + " " + rows.getString("TABLE_NAME") + " " + rows.getString("TABLE_TYPE"));
            }
        }
        try (ResultSet rows = data.getColumns(null, "public", "person", null)) {
            while (rows.next()) System.out.println("column " + rows.getString("COLUMN_NAME") + " " + rows.getString("TYPE_NAME"));
        }
        try (ResultSet keys = data.getPrimaryKeys(null, "public", "person")) {
            if (!keys.next()) System.out.println("no keys");
        }
    }

    static void questions(Connection node) throws Exception {
        String sql = "SELECT gender_concept_id, COUNT(*) AS n FROM person WHERE year_of_birth < ? GROUP BY 1 ORDER BY 1";
        int times = 0;
        // After five runs the driver prepares it under a name.
        try (PreparedStatement question = node.prepareStatement(sql)) {
            for (int year = 1960; year < 1965; year++) {
                question.setInt(1, year);
                try (ResultSet rows = question.executeQuery()) {
                    while (rows.next()) System.out.println("gender " + rows.getLong(1) + " " + rows.getLong("n"));
                }
                for (SQLWarning warning = question.getWarnings(); warning != null; warning = warning.getNextWarning()) {
                    System.out.println("warning " + warning.getMessage());
                }
                times++;
            }
        }
        System.out.println("prepared " + times + " times");
        // In parts: a transaction and a limit of rows at a time.
        node.setAutoCommit(false);
        try (Statement catalogue = node.createStatement()) {
            catalogue.setFetchSize(2);
            int count = 0;
            try (ResultSet rows = catalogue.executeQuery("SELECT typname FROM pg_type ORDER BY typname")) {
                while (rows.next()) count++;
            }
            System.out.println("types " + (count > 10));
        }
        node.commit();
        node.setAutoCommit(true);
        try (Statement question = node.createStatement()) {
            question.execute("SET consilium.suppressed = on");
            try (ResultSet rows = question.executeQuery("SELECT NULL AS hidden")) {
                rows.next();
                rows.getString(1);
                System.out.println("hidden " + (rows.wasNull() ? "null" : "shown"));
            }
        }
    }
}
